// Writes as many mebibytes to stdout as its argument says.

#include "hostile.h"

int main(int argc, char** argv) {
  static char block[1 << 20];
  const int count = argc > 1 ? atoi(argv[1]) : 64;
  memset(block, 'x', sizeof(block));
  for (int i = 0; i < count; ++i) {
    for (size_t done = 0; done < sizeof(block);) {
      const ssize_t size = write(1, block + done, sizeof(block) - done);
      if (size < 0) return stopped("write");
      done += (size_t)size;
    }
  }
  return 0;
}
