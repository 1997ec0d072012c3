// Lists the folder that its argument names.

#include <dirent.h>

#include "hostile.h"

int main(int argc, char** argv) {
  DIR* folder = opendir(argv[argc - 1]);
  if (folder == NULL) return stopped("opendir");
  return readdir(folder) != NULL ? 0 : stopped("readdir");
}
