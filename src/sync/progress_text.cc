#include "sync/progress_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/strings.h"

namespace ncn::sync {
namespace {

constexpr std::size_t kNameWidthMax = 28;
constexpr std::size_t kBarWidthMax = 40;
constexpr std::size_t kFiguresWidth = 51;

template <typename... Args>
std::string Format(const char* format, Args... args) {
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(), format, args...);
  return text.data();
}

double ShareOf(const transfer::FileProgress& progress) {
  if (progress.size_bytes == 0) return 1;
  return std::min(
      1.0, static_cast<double>(progress.present_bytes) / static_cast<double>(progress.size_bytes));
}

std::string TimeText(std::chrono::seconds time) {
  const long long seconds = time.count();
  if (seconds < 60) return Format("%lld s", seconds);
  if (seconds < 3600) return Format("%lld min %02lld s", seconds / 60, seconds % 60);
  return Format("%lld h %02lld min", seconds / 3600, seconds / 60 % 60);
}

std::string Bar(const transfer::FileProgress& progress, std::size_t width) {
  // What the figures and the marks between leave is shared by name and bar.
  const std::size_t rest = width - std::min(width, kFiguresWidth + 4);
  const bool has_bar = rest >= 20;
  const std::size_t name_width = has_bar ? std::min(rest * 3 / 5, kNameWidthMax) : kNameWidthMax;
  std::string line = progress.name.substr(0, name_width);
  line.resize(name_width, ' ');
  if (has_bar) {
    const std::size_t columns = std::min(rest - name_width, kBarWidthMax);
    std::string bar(static_cast<std::size_t>(ShareOf(progress) * static_cast<double>(columns)),
                    '#');
    bar.resize(columns, '-');
    line += base::StrCat(" [", bar, "]");
  }
  line += base::StrCat(" ", progress.state == transfer::FileState::kDownloading ||
                                    progress.state == transfer::FileState::kDone
                                ? ProgressLine(progress)
                                : std::string(transfer::FileStateName(progress.state)));
  return line.substr(0, width);
}

}  // namespace

std::string BytesText(std::uint64_t bytes) {
  if (bytes < 1024) return base::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    unit = next;
    value /= 1024;
    if (value < 1000) break;
  }
  return Format("%.1f %s", value, unit);
}

std::string ProgressLine(const transfer::FileProgress& progress) {
  std::string line =
      base::StrCat(BytesText(progress.present_bytes), " of ", BytesText(progress.size_bytes),
                   Format(" (%.0f %%)", 100 * ShareOf(progress)));
  if (progress.bytes_per_second >= 1) {
    line +=
        base::StrCat(", ", BytesText(static_cast<std::uint64_t>(progress.bytes_per_second)), "/s");
  }
  if (progress.time_left) line += base::StrCat(", ", TimeText(*progress.time_left), " left");
  return line;
}

std::vector<std::string> ProgressBars(const transfer::TransferProgress& progress, std::size_t width,
                                      std::size_t files_max) {
  std::vector<std::string> lines;
  if (progress.total.size_bytes == 0) return lines;
  for (const transfer::FileProgress& file : progress.files) {
    const bool moving = file.state == transfer::FileState::kDownloading ||
                        file.state == transfer::FileState::kVerifying;
    if (moving && lines.size() < files_max) lines.push_back(Bar(file, width));
  }
  lines.push_back(Bar(progress.total, width));
  return lines;
}

}  // namespace ncn::sync
