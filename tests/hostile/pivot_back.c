// Changes the root of the file system by pivot_root.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return syscall(SYS_pivot_root, ".", ".") == 0 ? 0 : stopped("pivot_root");
}
