// Crashes; a core file would hold what it knew.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  abort();
}
