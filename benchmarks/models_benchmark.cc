// How long the model store takes for many models: the first start, which reads every file, a
// restart with what is remembered, and answers while it watches.
//
// Usage: models_benchmark [COUNT]

#include <stdlib.h>
#include <time.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "base/logging.h"
#include "base/strings.h"
#include "models/model_store.h"
#include "models/testing_files.h"

namespace ncn::benchmarks {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr int kLists = 100;
constexpr double kRestartSecondsMax = 1.0;

double Milliseconds(steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double CpuMilliseconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

// Weights of their own for each model, so that no two have the same hash.
std::string Weights(int number) {
  const std::string header = R"({"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})";
  return models::SafetensorsFile(header,
                                 models::LittleEndianBytes(static_cast<std::uint64_t>(number)));
}

void MakeModels(const models::TestFolder& folder, int count, bool folders) {
  for (int i = 0; i < count; ++i) {
    const std::string name = base::StrCat("m", i);
    if (!folders) {
      folder.Write(base::StrCat("models/", name, "_model.safetensors"), Weights(i));
      continue;
    }
    folder.Write(base::StrCat("models/", name, "/weights.safetensors"), Weights(i));
    folder.Write(base::StrCat("models/", name, "/model.toml"),
                 base::StrCat("[model]\nname = \"", name, "\"\nformat = \"safetensors\"\n"));
  }
}

// A store's first complete listing, watched, in wall and CPU time.
nlohmann::json Start(models::ModelStore& store, int count) {
  const auto began = steady_clock::now();
  const double cpu = CpuMilliseconds();
  store.Watch();
  NCN_CHECK(store.List().size() == static_cast<std::size_t>(count));
  return {{"ms", Milliseconds(steady_clock::now() - began)}, {"cpu_ms", CpuMilliseconds() - cpu}};
}

nlohmann::json Measure(int count, bool folders) {
  const models::TestFolder folder;
  MakeModels(folder, count, folders);
  const auto make = [&] {
    return models::ModelStore::Options{.folders = {folder.path() / "models"},
                                       .index = folder.path() / "index.db"};
  };
  nlohmann::json figures;
  {
    models::ModelStore store(make());
    figures["first_start"] = Start(store, count);
  }
  models::ModelStore store(make());
  figures["restart"] = Start(store, count);
  auto began = steady_clock::now();
  for (int i = 0; i < kLists; ++i) NCN_CHECK(!store.List().empty());
  figures["list_ms"] = Milliseconds(steady_clock::now() - began) / kLists;
  const auto ids = store.List();
  began = steady_clock::now();
  for (const auto& id : ids) NCN_CHECK(store.Find(id).ok());
  figures["find_us"] = Milliseconds(steady_clock::now() - began) * 1e3 / count;
  return figures;
}

int Run(int count) {
  const nlohmann::json figures = {{"models", count},
                                  {"files", Measure(count, /*folders=*/false)},
                                  {"folders", Measure(count, /*folders=*/true)}};
  std::printf("%s\n", figures.dump(2).c_str());
  const bool met = figures["files"]["restart"]["ms"] <= kRestartSecondsMax * 1e3 &&
                   figures["folders"]["restart"]["ms"] <= kRestartSecondsMax * 1e3;
  return met ? 0 : 1;
}

}  // namespace
}  // namespace ncn::benchmarks

int main(int argc, char** argv) {
  int count = 10'000;
  if (argc == 2) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), count);
  if (argc > 2 || count < 1) {
    std::fprintf(stderr, "Usage: models_benchmark [COUNT]\n");
    return 2;
  }
  return ncn::benchmarks::Run(count);
}
