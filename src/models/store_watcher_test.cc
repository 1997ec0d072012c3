#include "models/store_watcher.h"

#include <sys/stat.h>

#include <condition_variable>
#include <mutex>

#include "base/sha256.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::models {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

constexpr std::chrono::seconds kPatience(60);

class StoreWatcherTest : public testing::Test {
 protected:
  StoreWatcherTest() { fs::create_directories(models_); }

  void Start(StoreWatcher::Options options = {}) {
    options.rest = milliseconds(20);
    options.check_interval = milliseconds(20);
    watcher_.emplace(
        folders_, catalogue_,
        [this](const std::vector<ModelChange>& changes) {
          std::lock_guard lock(mutex_);
          changes_.insert(changes_.end(), changes.begin(), changes.end());
          changed_.notify_all();
        },
        options);
  }
  // Waits until the models are these, by name.
  void Expect(const std::vector<std::string>& names) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (Names() != names && std::chrono::steady_clock::now() < deadline) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, milliseconds(10));
    }
    EXPECT_EQ(Names(), names);
  }
  template <typename Condition>
  void Until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, milliseconds(10));
    }
    EXPECT_TRUE(condition());
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, model] : catalogue_.listing()->usable) names.push_back(name);
    return names;
  }
  std::string TreeOf(const std::string& name) const {
    const auto listing = catalogue_.listing();
    const auto found = listing->usable.find(name);
    return found == listing->usable.end() ? "" : found->second->tree_sha256;
  }
  std::vector<std::string> Changes() {
    std::lock_guard lock(mutex_);
    std::vector<std::string> texts;
    for (const ModelChange& change : changes_) {
      texts.push_back(base::StrCat(static_cast<int>(change.kind), " ", change.id.value()));
    }
    return texts;
  }

  const TestFolder folder_;
  const fs::path models_ = folder_.path() / "models";
  const StoreFolders folders_{{models_}};
  FileIndex index_{{}};
  VerifiedModels verified_{index_};
  Catalogue catalogue_{folders_, verified_, index_};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ModelChange> changes_;
  std::optional<StoreWatcher> watcher_;
};

TEST_F(StoreWatcherTest, SeesFilesComeChangeAndGo) {
  folder_.Write("models/first.onnx", OnnxFile());
  Start();
  EXPECT_EQ(Names(), std::vector<std::string>{"first"});
  folder_.Write("models/second.onnx", OnnxFile());
  Expect({"first", "second"});
  const std::string before = TreeOf("first");
  folder_.Write("models/first.onnx", OnnxFile() + OnnxFile());
  Until([&] { return TreeOf("first") != before; });
  fs::remove(models_ / "first.onnx");
  Expect({"second"});
  fs::rename(models_ / "second.onnx", models_ / "third.onnx");
  Expect({"third"});
}

TEST_F(StoreWatcherTest, SeesAFileThatIsRenamedIntoPlace) {
  folder_.Write("models/m.onnx", OnnxFile());
  Start();
  const std::string before = TreeOf("m");
  folder_.Write("elsewhere", OnnxFile() + OnnxFile());
  fs::rename(folder_.path() / "elsewhere", models_ / "m.onnx");
  Until([&] { return !Changes().empty(); });
  EXPECT_NE(TreeOf("m"), before);
  EXPECT_EQ(TreeOf("m"), base::AsHex(base::Sha256(OnnxFile() + OnnxFile())));
  EXPECT_THAT(Changes(), ElementsAre("1 m"));
}

TEST_F(StoreWatcherTest, SeesFoldersAndWhatIsInThem) {
  Start();
  folder_.Write("models/m/m.onnx", OnnxFile());
  Expect({"m"});
  std::string before = TreeOf("m");
  folder_.Write("models/m/deep/er/data", "one");
  Until([&] { return TreeOf("m") != before; });
  before = TreeOf("m");
  folder_.Write("models/m/deep/er/data", "two");
  Until([&] { return TreeOf("m") != before; });
  fs::rename(models_ / "m", models_ / "n");
  Expect({"n"});
  before = TreeOf("n");
  folder_.Write("models/n/deep/er/data", "three");
  Until([&] { return TreeOf("n") != before; });
  fs::remove_all(models_ / "n");
  Expect({});
}

TEST_F(StoreWatcherTest, SeesATreeThatIsRenamedIntoPlace) {
  Start();
  folder_.Write("models/.staging/m/sub/data", "x");
  folder_.Write("models/.staging/m/m.onnx", OnnxFile());
  fs::rename(models_ / ".staging" / "m", models_ / "m");
  Expect({"m"});
  const std::string before = TreeOf("m");
  folder_.Write("models/m/sub/data", "y");
  Until([&] { return Changes().size() >= 2; });
  EXPECT_NE(TreeOf("m"), before);
  EXPECT_THAT(Changes(), ElementsAre("0 m", "1 m"));
}

TEST_F(StoreWatcherTest, LooksOnceAtAFileThatIsBeingWritten) {
  StoreWatcher::Options options;
  options.write_pause_max = kPatience;
  Start(options);
  std::ofstream file(models_ / "m.onnx", std::ios::binary);
  file << OnnxFile().substr(0, 4) << std::flush;
  // Something else is seen meanwhile, and this not.
  folder_.Write("models/other.onnx", OnnxFile());
  Expect({"other"});
  file << OnnxFile().substr(4) << std::flush;
  folder_.Write("models/another.onnx", OnnxFile());
  Expect({"another", "other"});
  EXPECT_THAT(catalogue_.listing()->problems, IsEmpty());
  file.close();
  Expect({"another", "m", "other"});
}

TEST_F(StoreWatcherTest, SeesTheFolderItselfGoComeAndBeReplaced) {
  fs::remove_all(models_);
  Start();
  EXPECT_EQ(catalogue_.listing()->problems.size(), 1u);
  folder_.Write("models/m.onnx", OnnxFile());
  Expect({"m"});
  fs::rename(models_, folder_.path() / "old");
  Expect({});
  folder_.Write("new/n.onnx", OnnxFile());
  fs::rename(folder_.path() / "new", models_);
  Expect({"n"});
  folder_.Write("models/o.onnx", OnnxFile());
  Expect({"n", "o"});
  fs::remove_all(models_);
  Expect({});
}

TEST_F(StoreWatcherTest, SeesALinkToTheFolderPointElsewhere) {
  fs::remove_all(models_);
  folder_.Write("a/a.onnx", OnnxFile());
  folder_.Write("b/b.onnx", OnnxFile());
  fs::create_directory_symlink("a", models_);
  Start();
  Expect({"a"});
  fs::create_directory_symlink("b", folder_.path() / "link");
  fs::rename(folder_.path() / "link", models_);
  Expect({"b"});
}

TEST_F(StoreWatcherTest, LooksNowAndThenWhereItCannotWatch) {
  folder_.Write("models/a/a.onnx", OnnxFile());
  folder_.Write("models/b/b.onnx", OnnxFile());
  StoreWatcher::Options options;
  options.watch.watches_max = 1;
  options.rescan_interval = milliseconds(50);
  Start(options);
  EXPECT_THAT(Names(), ElementsAre("a", "b"));
  fs::remove(models_ / "b" / "b.onnx");
  Expect({"a"});
  folder_.Write("models/c/c.onnx", OnnxFile());
  Expect({"a", "c"});
}

TEST_F(StoreWatcherTest, TellsWhatCannotBeUsedAndWhenItCanBe) {
  Start();
  ASSERT_EQ(::mkfifo((models_ / "pipe.pt").c_str(), 0600), 0);
  Until([&] { return catalogue_.listing()->problems.contains("pipe.pt"); });
  folder_.Write("models/m.onnx", "garbage");
  Until([&] { return catalogue_.listing()->problems.contains("m.onnx"); });
  folder_.Write("models/n.onnx", OnnxFile());
  folder_.Write("models/n.pt", TorchScriptFile());
  Until([&] { return catalogue_.listing()->problems.contains("n.onnx"); });
  fs::remove(models_ / "n.pt");
  Expect({"n"});
  folder_.Write("models/m.onnx", OnnxFile());
  Expect({"m", "n"});
  fs::remove(models_ / "pipe.pt");
  Until([&] { return catalogue_.listing()->problems.empty(); });
}

TEST_F(StoreWatcherTest, TakesHostileNames) {
  Start();
  const std::string long_name(250, 'x');
  for (const std::string& name : {std::string("a\nb.onnx"), std::string("\xff\xfe.onnx"),
                                  std::string(" .onnx"), long_name + ".onnx"}) {
    folder_.Write("models/" + name, OnnxFile());
  }
  folder_.Write("models/\n/m.onnx", OnnxFile());
  folder_.Write("models/good.onnx", OnnxFile());
  Expect({"good"});
  Until([&] { return catalogue_.listing()->problems.size() == 5; });
  for (const auto& [name, why] : catalogue_.listing()->problems) {
    EXPECT_THAT(std::string(why.message()), HasSubstr("rename it")) << name;
  }
}

TEST_F(StoreWatcherTest, LosesNothingOfAFlood) {
  Start();
  std::vector<std::string> names;
  for (int i = 10'000; i < 12'000; ++i) {
    names.push_back(base::StrCat("m", i));
    folder_.Write(base::StrCat("models/.new/", names.back(), ".onnx"), OnnxFile());
    fs::rename(models_ / ".new" / (names.back() + ".onnx"), models_ / (names.back() + ".onnx"));
  }
  Expect(names);
  for (std::size_t i = 1; i < names.size(); ++i) fs::remove(models_ / (names[i] + ".onnx"));
  Expect({names[0]});
}

TEST_F(StoreWatcherTest, StopsWhileThingsHappen) {
  for (int round = 0; round < 10; ++round) {
    Start();
    folder_.Write(base::StrCat("models/m", round, "/m.onnx"), OnnxFile());
    watcher_.reset();
  }
}

}  // namespace
}  // namespace ncn::models
