// Signals every process that it may.

#include <signal.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return kill(-1, SIGWINCH) == 0 ? 0 : stopped("kill");
}
