// Opens the memory of its parent.

#include "hostile.h"

int main(int argc, char** argv) {
  char path[64];
  (void)argc, (void)argv;
  snprintf(path, sizeof(path), "/proc/%d/mem", (int)getppid());
  return try_open(path, O_RDWR);
}
