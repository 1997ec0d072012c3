#include "transfer/byte_ranges.h"

#include <algorithm>
#include <iterator>

namespace ncn::transfer {

void ByteRanges::Add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto at = ends_.upper_bound(range.begin);
  if (at != ends_.begin() && std::prev(at)->second >= range.begin) --at;
  while (at != ends_.end() && at->first <= range.end) {
    range = {std::min(range.begin, at->first), std::max(range.end, at->second)};
    size_bytes_ -= at->second - at->first;
    at = ends_.erase(at);
  }
  ends_.emplace_hint(at, range.begin, range.end);
  size_bytes_ += range.size();
}

void ByteRanges::Remove(ByteRange range) {
  if (range.begin >= range.end) return;
  auto at = ends_.upper_bound(range.begin);
  if (at != ends_.begin() && std::prev(at)->second > range.begin) --at;
  while (at != ends_.end() && at->first < range.end) {
    const ByteRange old = {at->first, at->second};
    at = ends_.erase(at);
    size_bytes_ -= old.size();
    for (const ByteRange rest : {ByteRange{old.begin, std::max(old.begin, range.begin)},
                                 ByteRange{std::min(old.end, range.end), old.end}}) {
      if (rest.size() == 0) continue;
      ends_.emplace_hint(at, rest.begin, rest.end);
      size_bytes_ += rest.size();
    }
  }
}

void ByteRanges::Clear() {
  ends_.clear();
  size_bytes_ = 0;
}

std::uint64_t ByteRanges::prefix_bytes() const {
  return ends_.empty() || ends_.begin()->first != 0 ? 0 : ends_.begin()->second;
}

ByteRange ByteRanges::FirstGap(std::uint64_t from, std::uint64_t end) const {
  auto next = ends_.upper_bound(from);
  if (next != ends_.begin()) from = std::max(from, std::prev(next)->second);
  if (from >= end) return {end, end};
  return {from, next == ends_.end() ? end : std::min(end, next->first)};
}

std::vector<ByteRange> ByteRanges::ranges() const {
  std::vector<ByteRange> ranges;
  for (const auto& [begin, end] : ends_) ranges.push_back({begin, end});
  return ranges;
}

}  // namespace ncn::transfer
