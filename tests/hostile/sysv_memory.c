// Makes a System V shared memory segment, which outlives its maker.

#include <sys/ipc.h>
#include <sys/shm.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  if (id < 0) return stopped("shmget");
  shmctl(id, IPC_RMID, NULL);
  return 0;
}
