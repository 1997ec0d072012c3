// The key file of a wallet: one line of 64 hexadecimal digits, mode 0600.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "signing/secret_key.h"
#include "signing/wallet.h"

namespace ncn::signing {
namespace {

constexpr std::size_t kFileBytesMax = 256;

absl::Status FileError(absl::StatusCode code, const std::filesystem::path& path,
                       std::string_view what) {
  return absl::Status(code, base::StrCat("wallet key file ", path.native(), ": ", what));
}

absl::Status FileErrno(int error, const std::filesystem::path& path) {
  return base::ErrnoStatus(error, base::StrCat("wallet key file ", path.native()));
}

// That only the process's own user can have written or read the open file.
absl::Status CheckOwnership(int fd, const std::filesystem::path& path) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return FileErrno(errno, path);
  if (!S_ISREG(info.st_mode)) {
    return FileError(absl::StatusCode::kInvalidArgument, path, "is not a regular file");
  }
  if (info.st_uid != ::geteuid()) {
    return FileError(absl::StatusCode::kPermissionDenied, path,
                     base::StrCat("belongs to user ", info.st_uid,
                                  ", but this process runs as user ", ::geteuid(), "; run 'chown ",
                                  ::geteuid(), " ", path.native(), "' or name another file"));
  }
  if ((info.st_mode & 077) != 0) {
    return FileError(absl::StatusCode::kPermissionDenied, path,
                     base::StrCat("is open to other users, who may know the key; run 'chmod 600 ",
                                  path.native(), "', and make a new key if they are not trusted"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const SecretKey>> ReadKey(int fd,
                                                         const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<SecretPage> page, SecretPage::Make());
  std::size_t size = 0;
  while (size <= kFileBytesMax) {
    const ssize_t got = ::read(fd, page->bytes().data() + size, kFileBytesMax + 1 - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileErrno(errno, path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  const std::string_view text(reinterpret_cast<const char*>(page->bytes().data()), size);
  absl::StatusOr<std::unique_ptr<const SecretKey>> key =
      SecretKey::FromHex(base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(text))));
  if (key.ok() || !absl::IsInvalidArgument(key.status())) return key;
  return FileError(absl::StatusCode::kInvalidArgument, path,
                   base::StrCat("holds no wallet key: ", base::ToStd(key.status().message()),
                                "; restore it from a backup, or move it away to get a new key"));
}

// Makes the file whole or not at all: written under another name, then linked to its own, which
// fails if there is such a file by now.
absl::Status WriteNewFile(const std::filesystem::path& path, std::string_view text) {
  std::string temporary = base::StrCat(path.native(), ".XXXXXX");
  const base::UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));  // Mode 0600.
  if (!fd.valid()) return FileErrno(errno, path);
  const absl::Status status = [&]() -> absl::Status {
    RETURN_IF_ERROR(base::WriteAll(fd.get(), text));
    if (::fsync(fd.get()) != 0) return FileErrno(errno, path);
    if (::link(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
    if (errno != EEXIST) return FileErrno(errno, path);
    return FileError(absl::StatusCode::kAlreadyExists, path,
                     "exists, and a key is never overwritten; name another file");
  }();
  ::unlink(temporary.c_str());
  RETURN_IF_ERROR(status);
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const base::UniqueFd folder_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd.valid() || ::fsync(folder_fd.get()) != 0) return FileErrno(errno, path);
  return absl::OkStatus();
}

// Makes the missing folders above `path`, each for its owner alone.
absl::Status MakeFolders(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  std::error_code error;
  if (folder.empty() || std::filesystem::is_directory(folder, error)) return absl::OkStatus();
  RETURN_IF_ERROR(MakeFolders(folder));
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return FileErrno(errno, path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Wallet> Wallet::Load(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() && errno == ELOOP) {
    return FileError(absl::StatusCode::kInvalidArgument, path,
                     "is a symbolic link, which is not followed; name the file itself");
  }
  if (!fd.valid()) return FileErrno(errno, path);
  RETURN_IF_ERROR(CheckOwnership(fd.get(), path));
  ASSIGN_OR_RETURN(std::unique_ptr<const SecretKey> key, ReadKey(fd.get(), path));
  return FromSecret(std::move(key));
}

absl::StatusOr<Wallet> Wallet::Create(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<const SecretKey> key, SecretKey::Generate());
  ASSIGN_OR_RETURN(std::unique_ptr<SecretPage> page, SecretPage::Make());
  RETURN_IF_ERROR(MakeFolders(path));
  RETURN_IF_ERROR(WriteNewFile(path, key->WriteHex(*page)));
  return FromSecret(std::move(key));
}

absl::StatusOr<Wallet::Loaded> Wallet::LoadOrGenerate(const std::filesystem::path& path) {
  absl::StatusOr<Wallet> wallet = Load(path);
  const bool missing = absl::IsNotFound(wallet.status());
  if (missing) wallet = Create(path);
  const bool overtaken = missing && absl::IsAlreadyExists(wallet.status());
  if (overtaken) wallet = Load(path);
  RETURN_IF_ERROR(wallet.status());
  return Loaded{.wallet = *std::move(wallet), .generated = missing && !overtaken};
}

}  // namespace ncn::signing
