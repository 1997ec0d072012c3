#include "sandbox/launch_protocol.h"

#include <type_traits>

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::sandbox {
namespace {

constexpr std::uint8_t kCloneMagic = 0x91;
constexpr std::uint8_t kRequestMagic = 0xa1;
constexpr std::uint8_t kReportMagic = 0xb1;
constexpr std::size_t kListMax = 1024;
constexpr std::uint8_t kResourceMax = 15;
constexpr std::size_t kUsualBytes = 1024;  // One allocation for a report.

// Field by field, in one order for both directions: a Visit function below is called with a Writer
// to encode and with a Reader to decode.
class Writer {
 public:
  Writer() { bytes_.reserve(kUsualBytes); }
  template <typename T>
  requires std::is_integral_v<T>
  void Number(const T& value) {
    auto bits = static_cast<std::make_unsigned_t<T>>(value);
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bytes_.push_back(static_cast<char>((static_cast<std::uint64_t>(bits) >> (8 * i)) & 0xff));
    }
  }
  void Flag(const bool& value) { Number(static_cast<std::uint8_t>(value)); }
  void Text(const std::string& text, std::size_t) {
    Number(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
  }
  template <typename T, typename F>
  void List(const std::vector<T>& items, F&& visit) {
    Number(static_cast<std::uint32_t>(items.size()));
    for (const T& item : items) visit(*this, item);
  }
  template <typename E>
  void Enum(const E& value, E, E) {
    Number(static_cast<std::uint8_t>(value));
  }
  std::string Take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  requires std::is_integral_v<T>
  void Number(T& value) {
    if (bytes_.size() < sizeof(T)) return Fail("cut short");
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bits |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes_[i])) << (8 * i);
    }
    bytes_.remove_prefix(sizeof(T));
    value = static_cast<T>(bits);
  }
  void Flag(bool& value) {
    std::uint8_t number = 0;
    Number(number);
    if (number > 1) Fail("a flag is neither 0 nor 1");
    value = number == 1;
  }
  // Text that will become a C string: without a zero byte.
  void Text(std::string& text, std::size_t bytes_max) {
    std::uint32_t size = 0;
    Number(size);
    if (size > bytes_max || size > bytes_.size()) return Fail("a text is too long");
    text.assign(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    if (text.find('\0') != std::string::npos) Fail("a text holds a zero byte");
  }
  template <typename T, typename F>
  void List(std::vector<T>& items, F&& visit) {
    std::uint32_t count = 0;
    Number(count);
    if (count > kListMax) return Fail("a list is too long");
    for (std::uint32_t i = 0; i < count && ok(); ++i) visit(*this, items.emplace_back());
  }
  template <typename E>
  void Enum(E& value, E first, E last) {
    std::uint8_t number = 0;
    Number(number);
    if (number < static_cast<std::uint8_t>(first) || number > static_cast<std::uint8_t>(last)) {
      return Fail("a choice is out of range");
    }
    value = static_cast<E>(number);
  }
  void Fail(std::string_view why) {
    if (ok()) error_ = why;
    bytes_ = {};
  }
  bool ok() const { return error_.empty(); }
  absl::Status Finish(std::string_view what) {
    if (ok() && !bytes_.empty()) error_ = "bytes follow the last field";
    if (ok()) return absl::OkStatus();
    return absl::InvalidArgumentError(base::StrCat(what, ": ", error_));
  }

 private:
  std::string_view bytes_;
  std::string_view error_;
};

constexpr auto kTextItem = [](auto& io, auto& text) { io.Text(text, kMessageBytesMax); };

template <typename Io, typename Request>
void VisitMounts(Io& io, Request& request) {
  io.List(request.binds, [](auto& i, auto& bind) {
    i.Text(bind.host_path, kPathBytesMax);
    i.Text(bind.inside_path, kPathBytesMax);
    i.Number(bind.device);
    i.Number(bind.inode);
    i.Flag(bind.folder);
    i.Flag(bind.executable);
  });
  io.List(request.symlinks, [](auto& i, auto& link) {
    i.Text(link.name, kPathBytesMax);
    i.Text(link.target, kPathBytesMax);
  });
  io.List(request.files, [](auto& i, auto& file) {
    i.Text(file.path, kPathBytesMax);
    i.Text(file.bytes, kPathBytesMax);
  });
  io.Number(request.workspace_bytes);
  io.Number(request.workspace_inodes);
  io.Text(request.working_folder, kPathBytesMax);
}

// What a CloneRequest and a LaunchRequest have in common.
template <typename Io, typename Request>
void VisitIdentity(Io& io, Request& request) {
  io.Number(request.namespaces);
  io.Number(request.inside_uid);
  io.Number(request.inside_gid);
  io.Number(request.host_uid);
  io.Number(request.host_gid);
  io.Number(request.fail_step);
}

template <typename Io, typename Request>
void VisitRequest(Io& io, Request& request) {
  VisitIdentity(io, request);
  io.List(request.argv, kTextItem);
  io.List(request.environment, kTextItem);
  VisitMounts(io, request);
  io.List(request.rlimits, [](auto& i, auto& limit) {
    i.Number(limit.resource);
    i.Number(limit.soft);
    i.Number(limit.hard);
  });
  io.Flag(request.landlock);
  io.List(request.landlock_paths, [](auto& i, auto& rule) {
    i.Text(rule.path, kPathBytesMax);
    i.Enum(rule.access, LandlockAccess::kExecute, LandlockAccess::kDevice);
  });
  io.Flag(request.makes_sandboxes);
  io.Flag(request.watched);
  io.Flag(request.has_stdin);
  io.Number(request.cgroups);
  io.Number(request.inherited);
}

template <typename Io, typename Report>
void VisitReport(Io& io, Report& report) {
  io.Enum(report.kind, ReportKind::kCloned, ReportKind::kReaped);
  io.Enum(report.step, kFirstStep, kLastStep);
  io.Number(report.error);
  io.Text(report.detail, kPathBytesMax);
  io.Number(report.listener);
  io.Number(report.work_folder);
  io.Number(report.landlock_abi);
  io.List(report.steps, [](auto& i, auto& step) {
    i.Enum(step.step, kFirstStep, kLastStep);
    i.Number(step.taken_us);
  });
  io.Number(report.wait_status);
  io.Number(report.cpu_us);
  io.Number(report.rss_peak_kib);
}

// Reads one whole message by `visit`, which fills in what the caller returns.
template <typename Visit>
absl::Status Decode(std::string_view bytes, std::uint8_t magic, std::string_view what,
                    const Visit& visit) {
  Reader reader(bytes);
  std::uint8_t found = 0;
  reader.Number(found);
  if (found != magic) reader.Fail("another kind of message");
  visit(reader);
  return reader.Finish(what);
}

bool IsAbsolute(const std::string& path) { return !path.empty() && path.front() == '/'; }

absl::Status CheckRequest(const LaunchRequest& request) {
  if (request.argv.empty()) return absl::InvalidArgumentError("launch request: no program");
  bool absolute = IsAbsolute(request.working_folder);
  for (const BindMount& bind : request.binds) {
    absolute = absolute && IsAbsolute(bind.host_path) && IsAbsolute(bind.inside_path);
  }
  for (const RootSymlink& link : request.symlinks) absolute = absolute && IsAbsolute(link.name);
  for (const RootFile& file : request.files) absolute = absolute && IsAbsolute(file.path);
  for (const LandlockPath& rule : request.landlock_paths) {
    absolute = absolute && IsAbsolute(rule.path);
  }
  if (!absolute) return absl::InvalidArgumentError("launch request: a path is not absolute");
  for (const Rlimit& limit : request.rlimits) {
    if (limit.resource > kResourceMax) {
      return absl::InvalidArgumentError("launch request: an unknown resource");
    }
  }
  if (request.cgroups > kCgroupsMax || request.inherited > kInheritedMax) {
    return absl::InvalidArgumentError("launch request: too many descriptors");
  }
  return absl::OkStatus();
}

}  // namespace

std::string Encode(const CloneRequest& request) {
  Writer writer;
  writer.Number(kCloneMagic);
  VisitIdentity(writer, request);
  return std::move(writer).Take();
}

absl::StatusOr<CloneRequest> DecodeCloneRequest(std::string_view bytes) {
  CloneRequest request;
  RETURN_IF_ERROR(Decode(bytes, kCloneMagic, "clone request",
                         [&](Reader& reader) { VisitIdentity(reader, request); }));
  return request;
}

absl::StatusOr<std::string> Encode(const LaunchRequest& request) {
  Writer writer;
  writer.Number(kRequestMagic);
  VisitRequest(writer, request);
  std::string bytes = std::move(writer).Take();
  if (bytes.size() > kMessageBytesMax) {
    return absl::ResourceExhaustedError(
        base::StrCat("arguments, environment and paths of a command take ", bytes.size(),
                     " bytes together; at most ", kMessageBytesMax,
                     " are possible: pass large values as files"));
  }
  return bytes;
}

absl::StatusOr<LaunchRequest> DecodeLaunchRequest(std::string_view bytes) {
  LaunchRequest request;
  RETURN_IF_ERROR(Decode(bytes, kRequestMagic, "launch request",
                         [&](Reader& reader) { VisitRequest(reader, request); }));
  RETURN_IF_ERROR(CheckRequest(request));
  return request;
}

std::string Encode(const LaunchReport& report) {
  Writer writer;
  writer.Number(kReportMagic);
  VisitReport(writer, report);
  return std::move(writer).Take();
}

absl::StatusOr<LaunchReport> DecodeLaunchReport(std::string_view bytes) {
  LaunchReport report;
  RETURN_IF_ERROR(Decode(bytes, kReportMagic, "launch report",
                         [&](Reader& reader) { VisitReport(reader, report); }));
  return report;
}

}  // namespace ncn::sandbox
