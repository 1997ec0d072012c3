// Takes away a mount, the one that its argument names, to see what is below it.

#include <sys/mount.h>

#include "hostile.h"

int main(int argc, char** argv) {
  return umount2(argv[argc - 1], MNT_DETACH) == 0 ? 0 : stopped("umount2");
}
