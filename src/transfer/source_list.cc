#include "transfer/source_list.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace ncn::transfer {
namespace {

constexpr std::size_t kNotesMax = 64;
// Whoever brought so much since the last failure may fail anew.
constexpr std::uint64_t kForgivingBytes = std::uint64_t{8} << 20;

}  // namespace

SourceList::SourceList(const std::vector<std::string>& sources, const DownloaderOptions& options)
    : options_(options), random_(std::random_device()()) {
  for (const std::string& text : sources) {
    absl::StatusOr<SourceAddress> address = ParseSource(text, options);
    if (!address.ok()) {
      Note(PrintableSource(text), address.status());
      continue;
    }
    Source& source = sources_.emplace_back();
    source.address = *std::move(address);
    if (source.address.kind == SourceAddress::Kind::kHttp) {
      source.ranges = Source::Ranges::kUnknown;
    }
  }
}

Source* SourceList::Best() {
  Source* best = nullptr;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    Source& source = sources_[i];
    if (source.left || (alone_ && i != *alone_)) continue;
    if (best == nullptr || source.stalls < best->stalls) best = &source;
  }
  return best;
}

void SourceList::Leave(Source& source, const absl::Status& why) {
  if (source.left) return;
  source.left = true;
  Note(source.address.printable, why);
}

bool SourceList::Failed(Source& source, const absl::Status& why,
                        std::optional<std::chrono::milliseconds> wait, TimePoint now) {
  if (source.bytes_since_failure >= kForgivingBytes) source.failures = 0;
  source.bytes_since_failure = 0;
  source.failed_at = now;
  if (source.failures++ == options_.retries_max) {
    Leave(source, absl::Status(why.code(),
                               base::StrCat(why.message(), " (attempt ", source.failures, ")")));
    return false;
  }
  const std::int64_t most = options_.retry_pause_max.count();
  std::int64_t pause =
      std::min(most, options_.retry_pause.count() << std::min(source.failures - 1, 20));
  pause -= std::uniform_int_distribution<std::int64_t>(0, pause / 2)(random_);
  if (wait) pause = std::min<std::int64_t>(most, wait->count());
  source.not_before = now + std::chrono::milliseconds(pause);
  return true;
}

bool SourceList::Stalled(Source& source, const absl::Status& why) {
  if (source.stalls++ < options_.retries_max) return true;
  Leave(source, why);
  return false;
}

std::string SourceList::HashIsWrong(std::string_view found, std::string_view expected, bool kept) {
  const absl::Status wrong =
      absl::DataLossError(base::StrCat("its SHA-256 is ", found, ", expected ", expected));
  std::vector<Source*> givers;
  std::string names = kept ? "an earlier attempt" : "";
  for (Source& source : sources_) {
    if (!std::exchange(source.contributed, false)) continue;
    givers.push_back(&source);
    absl::StrAppend(&names, names.empty() ? "" : " and ", source.address.printable);
  }
  if (givers.size() == 1 && !kept) {
    Leave(*givers.front(), wrong);
    return names;
  }
  Note(base::StrCat("what came from ", names), wrong);
  if (givers.empty() || alone_) return names;
  alone_ = 0;
  if (sources_.front().left) NextAlone();
  return names;
}

bool SourceList::NextAlone() {
  while (alone_ && ++*alone_ < sources_.size()) {
    Source& source = sources_[*alone_];
    source.contributed = false;
    if (!source.left) return true;
  }
  return false;
}

void SourceList::Note(std::string_view who, const absl::Status& what) {
  if (what.code() == absl::StatusCode::kDataLoss) lied_ = true;
  if (!absl::IsNotFound(what)) only_lacks_ = false;
  if (notes_.size() < kNotesMax) notes_.push_back(base::StrCat(who, ": ", what.message()));
}

absl::Status SourceList::Summary() const {
  if (notes_.empty()) return absl::NotFoundError("no sources are given");
  std::string text;
  for (const std::string& note : notes_) absl::StrAppend(&text, text.empty() ? "" : "; ", note);
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  if (only_lacks_) code = absl::StatusCode::kNotFound;
  if (lied_) code = absl::StatusCode::kDataLoss;
  return absl::Status(code, text);
}

}  // namespace ncn::transfer
