// Leaves a grandchild behind, in a session of its own.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const pid_t child = fork();
  if (child < 0) return stopped("fork");
  if (child > 0) {
    waitpid(child, NULL, 0);
    return 0;
  }
  setsid();
  if (fork() == 0) {
    for (int fd = 0; fd < 3; ++fd) close(fd);
    sleep(60);
  }
  _exit(0);
}
