#pragma once

// Thin wrappers of system calls that the C library of Debian 12 lacks, and the constants that its
// kernel headers (6.1) do not know yet. Results and errno as of the call itself.

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace ncn::sandbox {

inline int Openat2(int folder, const char* path, std::uint64_t flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  return static_cast<int>(::syscall(SYS_openat2, folder, path, &how, sizeof(how)));
}

inline int OpenTree(int folder, const char* path, unsigned flags) {
  return static_cast<int>(::syscall(SYS_open_tree, folder, path, flags));
}

inline int MoveMount(int from, int to, const char* to_path) {
  return static_cast<int>(
      ::syscall(SYS_move_mount, from, "", to, to_path, MOVE_MOUNT_F_EMPTY_PATH));
}

// Adds `attributes` (MOUNT_ATTR_*) to the mount `fd`, and to those below it when `recursive`; cuts
// its propagation.
inline int AddMountAttributes(int fd, std::uint64_t attributes, bool recursive) {
  mount_attr change{};
  change.attr_set = attributes;
  change.propagation = std::uint64_t{1} << 18;  // MS_PRIVATE
  return static_cast<int>(::syscall(SYS_mount_setattr, fd, "",
                                    AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &change,
                                    sizeof(change)));
}

inline int Fsopen(const char* type) {
  return static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
}

inline int FsconfigString(int fs, const char* key, const char* value) {
  return static_cast<int>(::syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0));
}

inline int FsconfigCreate(int fs) {
  return static_cast<int>(::syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
}

inline int Fsmount(int fs, unsigned attributes) {
  return static_cast<int>(::syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
}

inline int PivotRoot(const char* new_root, const char* put_old) {
  return static_cast<int>(::syscall(SYS_pivot_root, new_root, put_old));
}

inline int CloseRange(int first, unsigned last) {
  return static_cast<int>(::syscall(SYS_close_range, static_cast<unsigned>(first), last, 0));
}

inline int PidfdSendSignal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

inline int PidfdOpen(int pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

inline int PidfdGetfd(int pidfd, int number) {
  return static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, number, 0));
}

}  // namespace ncn::sandbox
