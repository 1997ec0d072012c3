// Makes a System V message queue, which outlives its maker.

#include <sys/ipc.h>
#include <sys/msg.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  if (id < 0) return stopped("msgget");
  msgctl(id, IPC_RMID, NULL);
  return 0;
}
