// Runs the set-user-ID program that its argument names, which says whether it runs as root; is that
// program itself when it is called without an argument.

#include "hostile.h"

int main(int argc, char** argv) {
  int status = 0;
  if (argc == 1) return geteuid() != getuid() ? 0 : 9;
  const pid_t child = fork();
  if (child < 0) return stopped("fork");
  if (child == 0) {
    // An unprivileged user gains by it, root has nothing to gain.
    if (getuid() == 0 && setresuid(65534, 65534, 65534) != 0) _exit(8);
    execl(argv[1], argv[1], (char*)NULL);
    _exit(7);
  }
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  errno = WIFEXITED(status) && WEXITSTATUS(status) == 9 ? EPERM : EACCES;
  return stopped("set-user-ID program");
}
