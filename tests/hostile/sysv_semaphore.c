// Makes a System V semaphore, which outlives its maker.

#include <sys/ipc.h>
#include <sys/sem.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const int id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
  if (id < 0) return stopped("semget");
  semctl(id, 0, IPC_RMID);
  return 0;
}
