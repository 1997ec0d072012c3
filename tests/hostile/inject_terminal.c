// Types into the terminal of whoever started the node (CVE-2017-5226); with an argument, by the
// same request with high bits set, which a filter that compares 64 bits does not see.

#include <sys/ioctl.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argv;
  const unsigned long request = argc > 1 ? TIOCSTI | 1UL << 32 : TIOCSTI;
  return syscall(SYS_ioctl, 0, request, "x") == 0 ? 0 : stopped("TIOCSTI");
}
