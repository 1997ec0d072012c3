// Climbs out of the current folder to the file that its argument names.

#include "hostile.h"

int main(int argc, char** argv) {
  char path[4096];
  snprintf(path, sizeof(path), "../../../../../../../../../..%s", argv[argc - 1]);
  return try_open(path, O_RDONLY);
}
