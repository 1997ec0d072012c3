#include "models/model_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <optional>
#include <thread>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/file_index.h"
#include "models/testing_files.h"

namespace ncn::models {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

inference::ModelId Id(std::string_view name) { return *inference::ModelId::Parse(name); }

class ModelStoreTest : public testing::Test {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const inference::ModelId& id : store_.List()) names.push_back(id.value());
    return names;
  }
  absl::Status Error(std::string_view name) const { return store_.Find(Id(name)).status(); }
  std::string Message(std::string_view name) const { return std::string(Error(name).message()); }

  TestFolder folder_;
  ModelStore store_{folder_.path()};
};

TEST_F(ModelStoreTest, ListsFilesAndFoldersSorted) {
  folder_.Write("zeta.onnx", OnnxFile());
  folder_.Write("bark_semantic_model.pt", TorchScriptFile());
  folder_.Write("digits/weights.safetensors", SafetensorsFile());
  folder_.Write("digits/model.toml", "[model]\nversion = '2'\n[architecture]\nname = 'cnn'");
  folder_.Write("README.md", "not a model");
  folder_.Write(".hidden_model.pt", "not looked at");
  folder_.Write("notes/list.txt", "not a model");
  EXPECT_THAT(Names(), ElementsAre("bark_semantic", "digits", "zeta"));
  EXPECT_THAT(store_.Problems(), IsEmpty());
}

TEST_F(ModelStoreTest, DescribesAFile) {
  folder_.Write("digits_model.pt", TorchScriptFile());
  const auto model = store_.Find(Id("digits"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_FALSE((*model)->is_folder);
  EXPECT_EQ((*model)->root, folder_.path() / "digits_model.pt");
  EXPECT_EQ((*model)->file, (*model)->root);
  EXPECT_EQ((*model)->relative_file, "digits_model.pt");
  EXPECT_EQ((*model)->format, ModelFormat::kTorchScript);
  EXPECT_EQ((*model)->sha256, base::AsHex(base::Sha256(TorchScriptFile())));
  EXPECT_EQ((*model)->tree_sha256, (*model)->sha256);
  EXPECT_EQ((*model)->size_bytes, TorchScriptFile().size());
}

TEST_F(ModelStoreTest, DescribesAFolder) {
  folder_.Write("digits/w.safetensors", SafetensorsFile());
  folder_.Write("digits/model.toml", "[architecture]\nname = 'cnn'");
  folder_.Write("digits/extra/notes.txt", "x");
  const auto model = store_.Find(Id("digits"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->is_folder);
  EXPECT_EQ((*model)->root, folder_.path() / "digits");
  EXPECT_EQ((*model)->file, folder_.path() / "digits" / "w.safetensors");
  EXPECT_EQ((*model)->relative_file, "w.safetensors");
  EXPECT_EQ((*model)->manifest.architecture, "cnn");
  const auto hash = [](std::string_view bytes) { return base::AsHex(base::Sha256(bytes)); };
  EXPECT_EQ((*model)->sha256, hash(SafetensorsFile()));
  EXPECT_EQ(
      (*model)->tree_sha256,
      hash(base::StrCat(hash("x"), "  extra/notes.txt\n", hash("[architecture]\nname = 'cnn'"),
                        "  model.toml\n", hash(SafetensorsFile()), "  w.safetensors\n")));
  EXPECT_EQ((*model)->tree_size_bytes, SafetensorsFile().size() + 1 + 27);
}

TEST(ModelStoreNotFoundTest, SaysTheSpecifiedSentence) {
  EXPECT_EQ(ModelStore("./models").Find(Id("bark_semantic")).status(),
            absl::NotFoundError(
                "Model bark_semantic_model.pt not found at ./models/bark_semantic_model.pt"));
  const ModelStore missing("/no/such/folder");
  EXPECT_THAT(missing.List(), IsEmpty());
  EXPECT_THAT(std::string(missing.Problems().at("/no/such/folder").message()),
              HasSubstr("--model-path"));
}

TEST_F(ModelStoreTest, ASuffixedNameIsNotPartOfTheModelsName) {
  folder_.Write("my_model.pt", TorchScriptFile());
  EXPECT_THAT(Names(), ElementsAre("my"));
  EXPECT_TRUE(store_.Find(Id("my")).ok());
  EXPECT_TRUE(absl::IsNotFound(Error("my_model")));
}

TEST_F(ModelStoreTest, ABadModelHidesNoOther) {
  folder_.Write("good.onnx", OnnxFile());
  folder_.Write("bad.onnx", "garbage");
  folder_.Write("cut_model.pt", TorchScriptFile().substr(0, 80));
  folder_.Write("a b.pt", TorchScriptFile());
  EXPECT_THAT(Names(), ElementsAre("good"));
  const std::map<std::string, absl::Status> problems = store_.Problems();
  EXPECT_EQ(problems.size(), 3u);
  EXPECT_EQ(problems.at("bad.onnx"), Error("bad"));
  EXPECT_TRUE(absl::IsDataLoss(problems.at("cut_model.pt")));
  EXPECT_THAT(std::string(problems.at("a b.pt").message()), HasSubstr("rename"));
}

TEST_F(ModelStoreTest, NoticesAddedChangedAndRemovedFiles) {
  EXPECT_TRUE(absl::IsNotFound(Error("m")));
  const std::filesystem::path file = folder_.Write("m.safetensors", SafetensorsFile());
  const std::string first = (*store_.Find(Id("m")))->sha256;
  std::string changed = SafetensorsFile();
  changed.back() = 'x';  // Of the same size.
  folder_.Write("m.safetensors", changed);
  EXPECT_EQ((*store_.Find(Id("m")))->sha256, base::AsHex(base::Sha256(changed)));
  folder_.Write("m.safetensors", "garbage");
  EXPECT_TRUE(absl::IsInvalidArgument(Error("m")));
  folder_.Write("m.safetensors", SafetensorsFile());
  EXPECT_EQ((*store_.Find(Id("m")))->sha256, first);
  std::filesystem::remove(file);
  EXPECT_TRUE(absl::IsNotFound(Error("m")));
}

TEST_F(ModelStoreTest, NoticesAChangeOfAnyFileInAFolder) {
  folder_.Write("m/m.onnx", OnnxFile());
  folder_.Write("m/run.py", "one");
  const std::string first = (*store_.Find(Id("m")))->tree_sha256;
  folder_.Write("m/run.py", "two");
  EXPECT_NE((*store_.Find(Id("m")))->tree_sha256, first);
  folder_.Write("m/run.py", "one");
  EXPECT_EQ((*store_.Find(Id("m")))->tree_sha256, first);
  folder_.Write("m/more", "");
  EXPECT_NE((*store_.Find(Id("m")))->tree_sha256, first);
}

TEST_F(ModelStoreTest, RemembersWhatItVerified) {
  folder_.Write("m/m.onnx", OnnxFile());
  // Files are remembered once their last change lies behind the tick of the file system's clock.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (*store_.Find(Id("m")) != *store_.Find(Id("m"))) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
  const std::shared_ptr<const Model> model = *store_.Find(Id("m"));
  EXPECT_EQ(*store_.Find(Id("m")), model);
  EXPECT_THAT(Names(), ElementsAre("m"));
  EXPECT_EQ(*store_.Find(Id("m")), model);
}

TEST_F(ModelStoreTest, RefusesTwoFilesForOneName) {
  folder_.Write("m.onnx", OnnxFile());
  folder_.Write("m_model.pt", TorchScriptFile());
  EXPECT_THAT(Message("m"),
              AllOf(HasSubstr("more than once"), HasSubstr("m.onnx"), HasSubstr("m_model.pt")));
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ModelStoreTest, RefusesSymbolicLinksAnywhere) {
  folder_.Write("real.onnx", OnnxFile());
  folder_.Write("real/m.onnx", OnnxFile());
  folder_.Write("inner/m.onnx", OnnxFile());
  std::filesystem::remove(folder_.path() / "real.onnx");
  std::filesystem::create_symlink("real/m.onnx", folder_.path() / "file.onnx");
  std::filesystem::create_symlink("real", folder_.path() / "linked");
  std::filesystem::create_symlink("/etc/passwd", folder_.path() / "inner" / "data");
  EXPECT_THAT(Names(), ElementsAre("real"));
  for (const char* name : {"file", "linked", "inner"}) {
    EXPECT_THAT(Message(name), HasSubstr("symbolic link")) << name;
    EXPECT_EQ(Error(name).code(), absl::StatusCode::kFailedPrecondition) << name;
  }
  EXPECT_EQ(store_.Problems().size(), 3u);
}

TEST_F(ModelStoreTest, RefusesSpecialFiles) {
  ASSERT_EQ(::mkfifo((folder_.path() / "pipe.pt").c_str(), 0600), 0);
  folder_.Write("m/m.onnx", OnnxFile());
  ASSERT_EQ(::mkfifo((folder_.path() / "m" / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Message("pipe"), HasSubstr("not a regular file"));
  EXPECT_THAT(Message("m"), HasSubstr("m/pipe: is not a regular file"));
}

TEST_F(ModelStoreTest, MayItselfLieBehindALink) {
  folder_.Write("models/m.onnx", OnnxFile());
  std::filesystem::create_symlink("models", folder_.path() / "link");
  EXPECT_TRUE(ModelStore(folder_.path() / "link").Find(Id("m")).ok());
}

TEST_F(ModelStoreTest, RefusesAManifestThatContradictsTheFolder) {
  const std::string good_hash = base::AsHex(base::Sha256(OnnxFile()));
  const std::pair<std::string, const char*> cases[] = {
      {"[model]\nname = 'other'", "model.name is 'other', but the folder is named 'm'"},
      {"[model]\nformat = 'torchscript'",
       "says that m.onnx is a TorchScript archive, but its content is an ONNX model"},
      {"[model]\nfile = 'none.onnx'", "model.file is 'none.onnx', but there is no such file"},
      {"[executor]\nscript = 'run.py'", "executor.script is 'run.py'"},
      {"[model]\nfromat = 'onnx'", "m/model.toml: unknown key 'fromat'"},
      {"[hashes]\n'm.onnx' = '" + std::string(64, '0') + "'", "m/m.onnx: has the SHA-256 "},
      {"[hashes]\n'gone' = '" + good_hash + "'", "m/gone: is missing"},
  };
  for (const auto& [manifest, message] : cases) {
    folder_.Write("m/m.onnx", OnnxFile());
    folder_.Write("m/model.toml", manifest);
    EXPECT_THAT(Message("m"), HasSubstr(message));
    EXPECT_THAT(Names(), IsEmpty());
  }
  folder_.Write("m/model.toml", "[hashes]\n'm.onnx' = '" + good_hash + "'");
  EXPECT_TRUE(store_.Find(Id("m")).ok()) << Error("m");
}

TEST_F(ModelStoreTest, AsksForAManifestThatChoosesOneOfSeveralFiles) {
  folder_.Write("m/a.onnx", OnnxFile());
  folder_.Write("m/b.pt", TorchScriptFile());
  EXPECT_THAT(Message("m"),
              HasSubstr("m/model.toml: must say whether the model is a.onnx or b.pt"));
  folder_.Write("m/model.toml", "[model]\nfile = 'b.pt'");
  EXPECT_EQ((*store_.Find(Id("m")))->relative_file, "b.pt");
}

TEST_F(ModelStoreTest, OpensOnlyWhatItVerified) {
  folder_.Write("m.onnx", OnnxFile());
  folder_.Write("f/f.onnx", OnnxFile());
  for (const char* name : {"m", "f"}) {
    const std::shared_ptr<const Model> model = *store_.Find(Id(name));
    const absl::StatusOr<base::UniqueFd> fd = store_.Open(*model);
    ASSERT_TRUE(fd.ok()) << fd.status();
    EXPECT_EQ(*base::ReadAll(fd->get(), 1000), OnnxFile());
    std::filesystem::remove(model->file);
    EXPECT_TRUE(absl::IsNotFound(store_.Open(*model).status()));
    std::ofstream(model->file) << SafetensorsFile();
    EXPECT_TRUE(absl::IsAborted(store_.Open(*model).status()));
  }
}

TEST_F(ModelStoreTest, ServesSeveralFolders) {
  const TestFolder other;
  folder_.Write("a.onnx", OnnxFile());
  other.Write("b/b.onnx", OnnxFile());
  const ModelStore store({.folders = {folder_.path(), folder_.path() / "missing", other.path()}});
  EXPECT_EQ(store.List(), (std::vector{Id("a"), Id("b")}));
  EXPECT_EQ((*store.Find(Id("a")))->root, folder_.path() / "a.onnx");
  EXPECT_EQ((*store.Find(Id("b")))->root, other.path() / "b");
  EXPECT_TRUE(store.Open(**store.Find(Id("b"))).ok());
  EXPECT_EQ(store.Problems().size(), 1u);
  EXPECT_TRUE(absl::IsNotFound(store.Find(Id("c")).status()));
}

TEST_F(ModelStoreTest, RefusesANameThatIsInTwoFolders) {
  const TestFolder other;
  folder_.Write("m_model.pt", TorchScriptFile());
  other.Write("m/m.onnx", OnnxFile());
  const ModelStore store({.folders = {folder_.path(), other.path()}});
  EXPECT_THAT(store.List(), IsEmpty());
  const absl::Status status = store.Find(Id("m")).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("more than once"), HasSubstr((folder_.path() / "m_model.pt").native()),
            HasSubstr((other.path() / "m").native())));
  EXPECT_EQ(store.Problems().begin()->second, status);
}

TEST_F(ModelStoreTest, TakesTwoPathsToOneFolderForOne) {
  folder_.Write("models/m.onnx", OnnxFile());
  std::filesystem::create_symlink("models", folder_.path() / "link");
  const std::filesystem::path models = folder_.path() / "models";
  const ModelStore store({.folders = {models, models / ".", folder_.path() / "link"}});
  EXPECT_EQ(store.List(), std::vector{Id("m")});
  EXPECT_TRUE(store.Find(Id("m")).ok());
}

TEST_F(ModelStoreTest, AFolderOfModelsWithinAnotherIsNoModel) {
  folder_.Write("synced/m.onnx", OnnxFile());
  const ModelStore store({.folders = {folder_.path(), folder_.path() / "synced"}});
  EXPECT_EQ(store.List(), std::vector{Id("m")});
  EXPECT_TRUE(absl::IsNotFound(store.Find(Id("synced")).status()));
}

TEST_F(ModelStoreTest, AVersionIsInUseWhileSomebodyHasACopy) {
  folder_.Write("m.onnx", OnnxFile());
  const std::string version = (*store_.Find(Id("m")))->tree_sha256;
  EXPECT_FALSE(store_.InUse(version));
  EXPECT_THAT(Names(), ElementsAre("m"));
  EXPECT_FALSE(store_.InUse(version)) << "the store's own knowledge is no use";
  std::optional<Model> kept;
  {
    const std::shared_ptr<const Model> found = *store_.Find(Id("m"));
    EXPECT_TRUE(store_.InUse(version));
    kept = *found;
  }
  EXPECT_TRUE(store_.InUse(version));
  folder_.Write("m.onnx", OnnxFile() + OnnxFile());
  const std::shared_ptr<const Model> replaced = *store_.Find(Id("m"));
  EXPECT_THAT(Names(), ElementsAre("m"));
  EXPECT_TRUE(store_.InUse(version));
  kept.reset();
  EXPECT_FALSE(store_.InUse(version));
  EXPECT_TRUE(store_.InUse(replaced->tree_sha256));
  EXPECT_FALSE(store_.InUse("no such version"));
}

TEST_F(ModelStoreTest, CopiesOfOneContentShareTheirLease) {
  folder_.Write("m.onnx", OnnxFile());
  folder_.Write("n.onnx", OnnxFile());
  std::shared_ptr<const Model> m = *store_.Find(Id("m"));
  const std::shared_ptr<const Model> n = *store_.Find(Id("n"));
  EXPECT_EQ(m->lease, n->lease);
  m.reset();
  EXPECT_TRUE(store_.InUse(n->tree_sha256));
}

TEST_F(ModelStoreTest, TakesHostileNames) {
  ::close(::open((folder_.path() / "a\nb.pt").c_str(), O_CREAT | O_CLOEXEC, 0600));
  folder_.Write("\xff.onnx", OnnxFile());
  folder_.Write(std::string(255 - 5, 'x') + ".onnx", OnnxFile());
  folder_.Write("..onnx", OnnxFile());
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_EQ(store_.Problems().size(), 3u);
  for (const std::string& name : {std::string(".."), std::string("a\0b", 3), std::string(300, 'x'),
                                  std::string("a/b"), std::string()}) {
    EXPECT_FALSE(inference::ModelId::Parse(name).ok());
  }
}

TEST_F(ModelStoreTest, SaysThatAFileCannotBeRead) {
  constexpr uid_t kNobody = 65534;  // Root may read everything.
  const uid_t own = ::geteuid();
  ::chmod(folder_.path().c_str(), 0755);
  ::chmod(folder_.Write("m.onnx", OnnxFile()).c_str(), 0);
  ASSERT_EQ(::seteuid(own == 0 ? kNobody : own), 0);
  const absl::Status error = Error("m");
  const auto problems = store_.Problems();
  ASSERT_EQ(::seteuid(own), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
  EXPECT_TRUE(absl::IsPermissionDenied(problems.at("m.onnx")));
}

TEST_F(ModelStoreTest, AnswersFromMemoryWhileItWatches) {
  folder_.Write("m.onnx", OnnxFile());
  store_.Watch();
  EXPECT_THAT(Names(), ElementsAre("m"));
  EXPECT_EQ(store_.Models().front()->lease, nullptr);
  std::promise<std::string> added;
  const auto subscription = store_.Subscribe([&](const std::vector<ModelChange>& changes) {
    EXPECT_EQ(changes.size(), 1u);
    EXPECT_EQ(changes.front().kind, ModelChange::Kind::kAdded);
    added.set_value(changes.front().id.value());
  });
  folder_.Write("n.onnx", OnnxFile());
  EXPECT_TRUE(store_.Find(Id("n")).ok()) << "one model is always looked for on the disk";
  EXPECT_EQ(added.get_future().get(), "n");
  EXPECT_THAT(Names(), ElementsAre("m", "n"));
}

TEST_F(ModelStoreTest, RemembersHashesOverRestarts) {
  const TestFolder state;
  folder_.Write("m.onnx", OnnxFile());
  folder_.Write("n/n.onnx", OnnxFile());
  folder_.Write("n/model.toml", "[model]\nversion = '2'");
  const std::filesystem::path index = state.path() / "models.db";
  while (!IsSettled(FolderFd::Open(folder_.path() / "n")->Look("model.toml")->identity)) {
    std::this_thread::yield();
  }
  const auto trees = [&] {
    std::map<std::string, std::string> trees;
    for (const auto& model : ModelStore({.folders = {folder_.path()}, .index = index}).Models()) {
      trees[model->id.value()] = model->tree_sha256;
    }
    return trees;
  };
  const auto first = trees();
  EXPECT_EQ(first.size(), 2u);
  EXPECT_EQ(FileIndex(index).size(), 3u);
  EXPECT_EQ(trees(), first);
  state.Write("models.db", "damaged");
  EXPECT_EQ(trees(), first);
  EXPECT_EQ(FileIndex(index).size(), 3u);
}

TEST_F(ModelStoreTest, ServesManyThreads) {
  for (int i = 0; i < 20; ++i) folder_.Write(base::StrCat("m", i, ".onnx"), OnnxFile());
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(store_.List().size(), 20u);
        for (int i = 0; i < 20; ++i) EXPECT_TRUE(store_.Find(Id(base::StrCat("m", i))).ok());
      }
    });
  }
}

}  // namespace
}  // namespace ncn::models
