// The classic: a chroot below the current folder leaves that folder outside of it.

#include "hostile.h"

int main(int argc, char** argv) {
  if (mkdir("hole", 0755) != 0) return stopped("mkdir");
  if (chroot("hole") != 0) return stopped("chroot");
  for (int i = 0; i < 16; ++i) {
    if (chdir("..") != 0) return stopped("chdir");
  }
  if (chroot(".") != 0) return stopped("second chroot");
  return try_open(argv[argc - 1], O_RDONLY);
}
