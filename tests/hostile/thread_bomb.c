// Has as many threads alive at once as its argument says.

#include <pthread.h>

#include "hostile.h"

static void* wait_for_ever(void* argument) {
  pause();
  return argument;
}

int main(int argc, char** argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 200;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 1 << 16);
  for (int i = 0; i < count; ++i) {
    pthread_t thread;
    errno = pthread_create(&thread, &attributes, wait_for_ever, NULL);
    if (errno != 0) return stopped("pthread_create");
  }
  return 0;
}
