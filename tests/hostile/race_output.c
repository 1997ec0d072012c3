// Changes its output for as long as it lives, from a process that it leaves behind.

#include <sched.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  if (fork() == 0) {
    for (;;) {
      const int fd = open("fine", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      if (write(fd, "changed", 7) != 7) _exit(1);
      close(fd);
    }
  }
  while (access("fine", F_OK) != 0) sched_yield();
  return 0;
}
