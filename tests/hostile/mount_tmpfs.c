// Mounts a file system over a folder of its own.

#include <sys/mount.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  if (mkdir("m", 0755) != 0) return stopped("mkdir");
  if (mount("tmpfs", "m", "tmpfs", 0, NULL) != 0) return stopped("mount");
  umount("m");
  return 0;
}
