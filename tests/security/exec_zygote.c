// A zygote for tests: exec_zygote LIBRARY REQUESTS DOORBELL. Each child reads from its standard
// input the words of a command and the environment, each ended by a zero byte and each list by an
// empty word, and becomes that command.

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kWordsMax = 64, kBytesMax = 1 << 16 };

// The next words; -1 when they end too early.
static int take(char** at, const char* end, char* words[kWordsMax]) {
  int count = 0;
  while (*at < end && **at != '\0' && count < kWordsMax - 1) {
    words[count++] = *at;
    *at += strlen(*at) + 1;
  }
  words[count] = NULL;
  if (*at >= end) return -1;
  ++*at;
  return count;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  void* library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  int (*serve)(int, int) = (int (*)(int, int))dlsym(library, "ncn_zygote_serve");
  if (serve(atoi(argv[2]), atoi(argv[3])) != 0) return 0;

  static char bytes[kBytesMax];
  ssize_t size = read(0, bytes, sizeof(bytes));
  char *at = bytes, *words[kWordsMax], *environment[kWordsMax];
  if (size <= 0 || take(&at, bytes + size, words) < 1 || take(&at, bytes + size, environment) < 0) {
    return 3;
  }
  execve(words[0], words, environment);
  perror(words[0]);
  return 4;
}
