#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/sha256.h"
#include "gtest/gtest.h"
#include "transfer/downloader.h"

namespace ncn::transfer {

// A folder of its own for one test, removed afterwards.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "transfer.XXXXXX").native();
    path_ = ::mkdtemp(name.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A downloader that has no time, a target in a folder of its own.
class DownloadFixture : public ::testing::Test {
 protected:
  DownloadFixture() {
    options_.staging = folder_.path() / "staging";
    options_.disk_reserve_bytes = 0;
    options_.retry_pause = std::chrono::milliseconds(1);
    options_.retry_pause_max = std::chrono::milliseconds(5);
  }

  // Bytes that no two tests confuse: no stretch of them occurs twice.
  static std::string Body(std::size_t size) {
    std::mt19937_64 random(size);
    std::string body(size + 8, '\0');
    for (std::size_t at = 0; at < size; at += 8) {
      const std::uint64_t word = random();
      std::copy_n(reinterpret_cast<const char*>(&word), 8, body.data() + at);
    }
    body.resize(size);
    return body;
  }

  FileToFetch File(std::string_view body, std::vector<std::string> sources) const {
    return {.name = "model",
            .size_bytes = body.size(),
            .sha256 = base::AsHex(base::Sha256(body)),
            .sources = std::move(sources),
            .target = TargetPath()};
  }
  absl::Status Fetch(std::string_view body, std::vector<std::string> sources,
                     std::stop_token stop = {}) {
    return Downloader(options_).Fetch({File(body, std::move(sources))}, std::move(stop),
                                      &board_)[0];
  }

  std::filesystem::path TargetPath() const { return folder_.path() / "target"; }
  std::string Target() const { return base::ReadFile(TargetPath(), 1 << 30).value_or("absent"); }
  std::vector<std::string> Staged() const {
    std::vector<std::string> names;
    if (!std::filesystem::exists(options_.staging)) return names;
    for (const auto& entry : std::filesystem::directory_iterator(options_.staging)) {
      names.push_back(entry.path().filename().native());
    }
    return names;
  }

  TestFolder folder_;
  DownloaderOptions options_;
  ProgressBoard board_;
};

}  // namespace ncn::transfer
