// Signals the process that its argument names, or its parent. Signal 0 asks whether it could.

#include <signal.h>

#include "hostile.h"

int main(int argc, char** argv) {
  const pid_t target = argc > 1 ? (pid_t)atoi(argv[1]) : getppid();
  return kill(target, 0) == 0 ? 0 : stopped("kill");
}
