// The same by clone3, whose flags hide in memory.

#include <linux/sched.h>
#include <signal.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  (void)argc, (void)argv;
  const long child = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (child == 0) _exit(0);
  if (child < 0) return stopped("clone3");
  waitpid((pid_t)child, NULL, 0);
  return 0;
}
