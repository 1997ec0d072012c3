// Makes a block device in the current folder.

#include <sys/sysmacros.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return mknod("disk", S_IFBLK | 0600, makedev(7, 0)) == 0 ? 0 : stopped("mknod");
}
