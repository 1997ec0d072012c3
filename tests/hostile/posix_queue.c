// Makes a POSIX message queue.

#include <mqueue.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const mqd_t queue = mq_open("/ncn-hostile", O_RDWR | O_CREAT, 0600, NULL);
  if (queue == (mqd_t)-1) return stopped("mq_open");
  mq_unlink("/ncn-hostile");
  return 0;
}
