// Burns as many seconds of processor time as its argument says.

#include <time.h>

#include "hostile.h"

int main(int argc, char** argv) {
  const clock_t end = (clock_t)(argc > 1 ? atoi(argv[1]) : 3) * CLOCKS_PER_SEC;
  while (clock() < end) {
  }
  return 0;
}
