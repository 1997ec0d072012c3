// Handles its own page faults, which helps to win races in the kernel.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */) >= 0 ? 0 : stopped("userfaultfd");
}
