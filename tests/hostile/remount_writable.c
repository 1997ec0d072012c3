// Makes a read-only mount writable, the one that its argument names.

#include <sys/mount.h>

#include "hostile.h"

int main(int argc, char** argv) {
  return mount(NULL, argv[argc - 1], NULL, MS_REMOUNT | MS_BIND, NULL) == 0 ? 0 : stopped("mount");
}
