// Traces a process.

#include <sys/ptrace.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : stopped("ptrace");
}
