// The connections of a FileDownload: which range is read from which source, and what follows from
// how that ended.

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/strings.h"
#include "transfer/file_download.h"
#include "transfer/file_reader.h"

namespace ncn::transfer {
namespace {

// A range is a part of what is missing, so that the connections end together, within these bounds.
constexpr std::uint64_t kRangeBytesMin = std::uint64_t{4} << 20;
constexpr std::uint64_t kRangeBytesMax = std::uint64_t{64} << 20;
// A source that answers ranges with less again and again is a waste of time.
constexpr std::uint64_t kShortBytesMin = std::uint64_t{1} << 20;
// When nothing is left to begin, a connection waits so long before it looks whether another one
// needs more than this time for what it has left, and takes over half of it.
constexpr std::chrono::milliseconds kIdleWait(500);
constexpr std::chrono::duration<double> kPatience(3);
constexpr std::uint64_t kTakeOverBytesMin = 256 * 1024;

bool IsLasting(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

}  // namespace

void FileDownload::Work(const std::stop_token& stop) {
  // A TLS connection that breaks raises it, in the thread that writes.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  std::unique_lock lock(mutex_);
  while (Lane* lane = NextLane(lock, stop)) {
    lock.unlock();
    ReadEnd end;
    {
      const std::stop_callback forward(stop, [lane] { lane->stop.request_stop(); });
      end = Read(*lane);
    }
    lock.lock();
    if (!stop.stop_requested()) Settle(*lane, end);
    lanes_.remove_if([&](const Lane& other) { return &other == lane; });
    Changed();
  }
}

void FileDownload::Changed() {
  ++changes_;
  changed_.notify_all();
}

FileDownload::Lane* FileDownload::NextLane(std::unique_lock<std::mutex>& lock,
                                           const std::stop_token& stop) {
  while (!stop.stop_requested() && part_->present_bytes() < file_.size_bytes) {
    const auto now = std::chrono::steady_clock::now();
    Source* const source = sources_.Best();
    if (source == nullptr && lanes_.empty()) {
      round_.request_stop();
      return nullptr;
    }
    auto until = now + std::chrono::hours(1);
    if (source != nullptr && source->not_before > now) {
      until = source->not_before;
    } else if (source != nullptr && MayJoin(*source)) {
      std::optional<RangeRequest> request = NextRange(*source);
      if (!request && source->ranges == Source::Ranges::kYes) {
        request = TakeOver(now);
        until = now + kIdleWait;
      }
      if (request) {
        Lane& lane = lanes_.emplace_back();
        lane.source = source;
        lane.request = *request;
        lane.began = lane.marked_at = now;
        lane.position = lane.marked_position = request->offset;
        lane.end = request->offset + request->length;
        board_.SetSource(index_, source->address.printable);
        return &lane;
      }
    }
    changed_.wait_until(lock, stop, until, [&, seen = changes_] { return changes_ != seen; });
  }
  return nullptr;
}

// Whether one more connection may read from it now. What it can do is found out by one alone, and a
// source without ranges gives everything to one.
bool FileDownload::MayJoin(const Source& source) const {
  if (source.ranges == Source::Ranges::kNo) return lanes_.empty();
  const auto readers = static_cast<std::size_t>(std::count_if(
      lanes_.begin(), lanes_.end(), [&](const Lane& lane) { return lane.source == &source; }));
  return readers < (source.ranges == Source::Ranges::kYes ? source.readers_max : 1);
}

std::optional<RangeRequest> FileDownload::NextRange(const Source& source) const {
  const std::uint64_t size = file_.size_bytes;
  if (source.ranges == Source::Ranges::kNo) {
    return RangeRequest{.offset = 0, .length = size, .size_bytes = size};
  }
  // First what is being read: meanwhile it becomes what is there, never the other way round.
  ByteRanges taken;
  for (const Lane& lane : lanes_) taken.Add({lane.position, lane.end});
  for (const ByteRange& range : part_->present().ranges()) taken.Add(range);
  const ByteRange gap = taken.FirstGap(0, size);
  if (gap.size() == 0) return std::nullopt;
  std::uint64_t length = gap.size();
  if (lanes_max_ > 1) {
    const std::uint64_t share = (size - taken.size_bytes()) / (2 * lanes_max_);
    length = std::min(length, std::clamp(share, kRangeBytesMin, kRangeBytesMax));
  }
  return RangeRequest{.offset = gap.begin, .length = length, .size_bytes = size};
}

// Half of what the slowest connection still has to read, when that would keep the others waiting.
std::optional<RangeRequest> FileDownload::TakeOver(std::chrono::steady_clock::time_point now) {
  if (context_.options.bytes_per_second_max > 0) return std::nullopt;  // All are slow.
  Lane* slowest = nullptr;
  double slowest_seconds = kPatience.count();
  for (Lane& lane : lanes_) {
    const std::chrono::duration<double> age = now - lane.began;
    if (age < kIdleWait || lane.left() < 2 * kTakeOverBytesMin) continue;
    const double rate = static_cast<double>(lane.bytes()) / age.count();
    const double seconds = static_cast<double>(lane.left()) / std::max(rate, 1.0);
    if (seconds <= slowest_seconds) continue;
    slowest = &lane;
    slowest_seconds = seconds;
  }
  if (slowest == nullptr) return std::nullopt;
  const std::uint64_t end = slowest->end;
  const std::uint64_t middle = end - slowest->left() / 2;
  slowest->cut = true;
  slowest->end = middle;
  return RangeRequest{.offset = middle, .length = end - middle, .size_bytes = file_.size_bytes};
}

ReadEnd FileDownload::Read(Lane& lane) {
  const std::stop_token stop = lane.stop.get_token();
  const std::optional<ReaderPool::Loan> loan = context_.readers.Borrow(stop);
  if (!loan) return {.kind = ReadEnd::Kind::kRetry, .status = absl::CancelledError("stopped")};
  lane.busy = false;
  const ByteSink sink = [&](std::string_view bytes) {
    lane.busy = true;
    absl::Status status = Take(lane, bytes);
    lane.busy = false;
    return status;
  };
  const SourceAddress& address = lane.source->address;
  switch (address.kind) {
    case SourceAddress::Kind::kHttp:
      return loan->reader().Read(address.location, lane.request, sink, stop);
    case SourceAddress::Kind::kFile:
      return ReadFileRange(address.location, context_.options.file_folders, lane.request, sink,
                           stop);
    case SourceAddress::Kind::kChunks:
      break;
  }
  return ReadChunks(lane, sink);
}

ReadEnd FileDownload::ReadChunks(const Lane& lane, const ByteSink& sink) {
  const SourceAddress& address = lane.source->address;
  absl::Status status = address.reader->Read(address.location, lane.request.offset,
                                             lane.request.length, sink, lane.stop.get_token());
  if (status.ok() && lane.left() > 0) {
    status = absl::UnavailableError(
        base::StrCat("ended after ", lane.bytes(), " of ", lane.request.length, " bytes"));
  }
  if (status.ok()) return {};
  return {.kind = IsLasting(status.code()) ? ReadEnd::Kind::kGiveUp : ReadEnd::Kind::kRetry,
          .status = std::move(status)};
}

absl::Status FileDownload::Take(Lane& lane, std::string_view bytes) {
  const std::uint64_t position = lane.position;
  board_.AddFetched(index_, bytes.size());
  context_.tally.fetched_bytes += bytes.size();
  const std::uint64_t left = lane.left();
  const bool is_last = lane.cut && bytes.size() >= left;
  if (is_last) {
    bytes = bytes.substr(0, left);
  } else if (bytes.size() > left) {
    lane.excess = true;
    return absl::DataLossError(
        base::StrCat("sent more than the ", lane.request.length, " bytes that were asked for"));
  }
  if (!context_.bandwidth.Take(bytes.size(), lane.stop.get_token())) {
    return absl::CancelledError("stopped");
  }
  if (position == lane.request.offset) {
    const std::lock_guard lock(mutex_);
    lane.source->contributed = true;
    if (lane.source->ranges == Source::Ranges::kUnknown && lane.request.length < file_.size_bytes) {
      lane.source->ranges = Source::Ranges::kYes;
    }
    Changed();
  }
  lane.local_error = part_->Write(position, bytes);
  if (!lane.local_error.ok()) return lane.local_error;
  lane.position = position + bytes.size();
  board_.SetPresent(index_, part_->present_bytes());
  if (is_last) return absl::CancelledError("another connection reads the rest");
  return absl::OkStatus();
}

void FileDownload::Settle(Lane& lane, const ReadEnd& end) {
  Source& source = *lane.source;
  source.bytes_since_failure += lane.bytes();
  if (!lane.local_error.ok()) {
    if (round_status_.ok()) round_status_ = lane.local_error;
    round_.request_stop();
    return;
  }
  if (source.left) return;  // It has shown its face to another connection.
  if (lane.excess) return Leave(source, end.status);
  if (lane.cut && lane.left() == 0) return;
  switch (end.kind) {
    case ReadEnd::Kind::kComplete:
      source.failures = 0;
      return;
    case ReadEnd::Kind::kShort:
      if (lane.bytes() >= kShortBytesMin) return;
      return SettleFailure(
          lane,
          {.kind = end.kind, .status = absl::UnavailableError("answers with less than asked")});
    case ReadEnd::Kind::kNoRanges:
      if (source.ranges == Source::Ranges::kNo) return Leave(source, end.status);
      source.ranges = Source::Ranges::kNo;
      return;
    case ReadEnd::Kind::kRetry:
    case ReadEnd::Kind::kSinkFailed:
      return SettleFailure(lane, end);
    case ReadEnd::Kind::kGiveUp:
      return Leave(source, end.status);
  }
}

void FileDownload::SettleFailure(const Lane& lane, const ReadEnd& end) {
  Source& source = *lane.source;
  // Connections that break together are one failure.
  if (lane.began < source.failed_at) return;
  board_.AddRetry(index_);
  ++context_.tally.retries;
  if (lane.stalled) {
    const absl::Status why = absl::DeadlineExceededError(
        base::StrCat("stalled: less than ", context_.options.stall_bytes_per_second,
                     " bytes/s for ", context_.options.stall_timeout.count(), " ms"));
    if (!sources_.Stalled(source, why)) Leave(source, why);
    return;
  }
  // While it serves others well, it is the number of connections that it does not like.
  const auto others =
      static_cast<std::size_t>(std::count_if(lanes_.begin(), lanes_.end(), [&](const Lane& other) {
        return &other != &lane && other.source == &source && other.bytes() > 0;
      }));
  if (lane.bytes() == 0 && others > 0 && others < source.readers_max) {
    source.readers_max = others;
    return;
  }
  if (!sources_.Failed(source, end.status, end.wait, std::chrono::steady_clock::now())) {
    LogLeft(source, end.status);
  }
}

void FileDownload::Leave(Source& source, const absl::Status& why) {
  sources_.Leave(source, why);
  LogLeft(source, why);
  for (Lane& lane : lanes_) {
    if (lane.source == &source) lane.stop.request_stop();
  }
}

void FileDownload::LogLeft(const Source& source, const absl::Status& why) const {
  base::Log("transfer")
      .warn("{}: {} is not asked again: {}", file_.name, source.address.printable,
            std::string(why.message()));
}

}  // namespace ncn::transfer
