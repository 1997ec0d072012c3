#include "models/model_format.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/errno_status.h"
#include "base/hex.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "models/content.h"

namespace ncn::models {
namespace {

struct FormatRow {
  ModelFormat format;
  std::string_view name;
  std::string_view description;
  std::string_view extension;  // The usual one.
};

constexpr std::array<FormatRow, 4> kFormats = {{
    {ModelFormat::kTorchScript, "torchscript", "a TorchScript archive", ".pt"},
    {ModelFormat::kTorchCheckpoint, "checkpoint", "a torch.save checkpoint", ".pt"},
    {ModelFormat::kOnnx, "onnx", "an ONNX model", ".onnx"},
    {ModelFormat::kSafetensors, "safetensors", "a safetensors file", ".safetensors"},
}};

const FormatRow& RowOf(ModelFormat format) {
  return *std::find_if(kFormats.begin(), kFormats.end(),
                       [&](const FormatRow& row) { return row.format == format; });
}

std::string Extension(std::string_view file_name) {
  const std::size_t dot = file_name.rfind('.');
  if (dot == std::string_view::npos) return "";
  std::string extension = absl::AsciiStrToLower(base::ToAbsl(file_name.substr(dot)));
  return extension == ".pth" ? ".pt" : extension;
}

// What the name says the file is; empty when it says nothing.
std::string Promise(std::string_view file_name) {
  std::string promise;
  for (const FormatRow& row : kFormats) {
    if (row.extension != Extension(file_name)) continue;
    promise += base::StrCat(promise.empty() ? "" : " or ", row.description);
  }
  return promise;
}

// What else a file may be that stands where a model should.
std::string DescribeStranger(std::string_view head) {
  if (head.starts_with("version https://git-lfs")) {
    return "a Git LFS pointer, which stands for the model; run 'git lfs pull' where it came from";
  }
  if (head.starts_with("<")) {
    return "HTML or XML, perhaps an error page that was downloaded instead; fetch the model again";
  }
  if (head.starts_with("GGUF"))
    return "a GGUF model, which this node cannot run; export it as ONNX";
  if (head.starts_with("\x89HDF")) {
    return "an HDF5 file, which this node cannot run; export it as ONNX";
  }
  return base::StrCat("of no known model format (it begins with ",
                      base::HexEncode(head.substr(0, 8)),
                      "); export it as TorchScript, ONNX or safetensors");
}

absl::Status Error(absl::StatusCode code, std::string_view file_name, std::string_view found,
                   std::string_view cure) {
  const std::string promise = Promise(file_name);
  return absl::Status(
      code,
      base::StrCat(file_name, ": ",
                   promise.empty() ? "" : base::StrCat("its name promises ", promise, ", but "),
                   "its content is ", found, cure));
}

absl::StatusOr<ModelFormat> Judge(const Recognition& recognition, std::string_view head,
                                  std::string_view file_name) {
  if (!recognition) {
    return Error(absl::StatusCode::kInvalidArgument, file_name, DescribeStranger(head), "");
  }
  if (!recognition->ok()) {
    return Error(recognition->status().code(), file_name,
                 base::ToStd(recognition->status().message()), "; fetch or export the model again");
  }
  const FormatRow& row = RowOf(**recognition);
  if (!FitsName(row.format, file_name)) {
    return Error(absl::StatusCode::kInvalidArgument, file_name, row.description,
                 base::StrCat("; name it *", row.extension, " or replace it"));
  }
  return row.format;
}

}  // namespace

std::string FileView::Read(std::uint64_t offset, std::size_t bytes) const {
  if (offset >= size_bytes_) return "";
  std::string content(
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes, size_bytes_ - offset)), '\0');
  std::size_t filled = 0;
  while (filled < content.size()) {
    const ssize_t got = ::pread(fd_, content.data() + filled, content.size() - filled,
                                static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
  }
  content.resize(filled);
  return content;
}

std::string_view Name(ModelFormat format) { return RowOf(format).name; }
std::string_view Description(ModelFormat format) { return RowOf(format).description; }

std::optional<ModelFormat> ModelFormatFromName(std::string_view name) {
  for (const FormatRow& row : kFormats) {
    if (row.name == name) return row.format;
  }
  return std::nullopt;
}

std::string_view ModelNameOf(std::string_view file_name) {
  for (const std::string_view extension : kModelFileExtensions) {
    std::string_view name = file_name;
    if (!name.ends_with(extension)) continue;
    name.remove_suffix(extension.size());
    constexpr std::string_view kSuffix = "_model";
    if (name.ends_with(kSuffix) && name != kSuffix) name.remove_suffix(kSuffix.size());
    return name.starts_with('.') ? "" : name;
  }
  return "";
}

bool FitsName(ModelFormat format, std::string_view file_name) {
  return Promise(file_name).empty() || Extension(file_name) == RowOf(format).extension;
}

absl::StatusOr<ModelFormat> DetectFormat(int fd, std::string_view file_name) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return base::ErrnoStatus(errno, file_name);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(base::StrCat(file_name, ": is not a regular file"));
  }
  if (info.st_size == 0) {
    return Error(absl::StatusCode::kInvalidArgument, file_name, "empty (0 bytes)",
                 "; fetch or export the model again");
  }
  const FileView file(fd, static_cast<std::uint64_t>(info.st_size));
  const std::string head = file.Read(0, 32);
  for (const auto recognize : {RecognizeTorch, RecognizeSafetensors, RecognizeOnnx}) {
    if (const Recognition recognition = recognize(file)) {
      return Judge(recognition, head, file_name);
    }
  }
  return Judge(std::nullopt, head, file_name);
}

absl::StatusOr<ModelFormat> DetectFormat(const std::filesystem::path& file) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return base::ErrnoStatus(errno, file.native());
  return DetectFormat(fd.get(), file.filename().native());
}

}  // namespace ncn::models
