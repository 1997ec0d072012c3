// Reads from stdin, which might be the node's terminal, until it ends.

#include "hostile.h"

int main(int argc, char** argv) {
  char byte;
  (void)argc, (void)argv;
  if (isatty(0)) return 0;
  const ssize_t size = read(0, &byte, 1);
  if (size == 0) errno = ENODATA;
  return size > 0 ? 0 : stopped("stdin");
}
