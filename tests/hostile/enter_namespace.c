// Enters the namespace of another process.

#include <sched.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
  return setns(fd, 0) == 0 ? 0 : stopped("setns");
}
