// The same by clone, whose flags hide in a register.

#include <sched.h>
#include <signal.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
  if (child == 0) _exit(0);
  if (child < 0) return stopped("clone");
  waitpid((pid_t)child, NULL, 0);
  return 0;
}
