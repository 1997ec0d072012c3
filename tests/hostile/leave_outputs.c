// Leaves outputs that are not what they seem: "link", "folder", "large", "linked", "fine".

#include "hostile.h"

int main(int argc, char** argv) {
  static char block[1 << 16];
  (void)argc, (void)argv;
  if (symlink("/etc/passwd", "link") != 0) return stopped("symlink");
  if (mkdir("folder", 0755) != 0) return stopped("mkdir");
  int fd = open("large", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (write(fd, block, sizeof(block)) < 0) return stopped("write");
  close(fd);
  fd = open("fine", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (write(fd, "fine", 4) != 4) return stopped("write");
  close(fd);
  close(open("linked", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (link("linked", "other") != 0) return stopped("link");
  return 0;
}
