// Reopens a file by its handle, past every path check (the way of the "Shocker" exploit).

#include "hostile.h"

int main(int argc, char** argv) {
  char place[sizeof(struct file_handle) + MAX_HANDLE_SZ] __attribute__((aligned(8))) = {0};
  struct file_handle* handle = (struct file_handle*)place;
  int mount_id;
  handle->handle_bytes = MAX_HANDLE_SZ;
  const int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  (void)argc, (void)argv;
  if (name_to_handle_at(AT_FDCWD, ".", handle, &mount_id, 0) != 0) handle->handle_bytes = 8;
  const int fd = open_by_handle_at(folder, handle, O_RDONLY);
  return fd >= 0 ? 0 : stopped("open_by_handle_at");
}
