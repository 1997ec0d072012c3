// Registries that lie, hang and die.
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <functional>
#include <thread>

#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "ncn/v2/p2p_registry.grpc.pb.h"
#include "registry/subnet_directory.h"
#include "registry_fixture.h"
#include "wire/codec.h"

namespace ncn {
namespace {

using inference::Subnet;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Answers what a test wants.
class LyingRegistry final : public v2::P2PRegistryService::Service {
 public:
  LyingRegistry() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    builder.SetMaxSendMessageSize(-1);
    server_ = builder.BuildAndStart();
    client = ClientOf(base::StrCat("127.0.0.1:", port_), std::chrono::milliseconds(500));
  }
  ~LyingRegistry() override {
    hang = false;
    hang.notify_all();
    server_->Shutdown(std::chrono::system_clock::now());
  }

  grpc::Status GetSubnet(grpc::ServerContext*, const v2::GetSubnetRequest*,
                         v2::Subnet* response) override {
    hang.wait(true);
    *response = subnet;
    return grpc::Status::OK;
  }
  grpc::Status ListSubnets(grpc::ServerContext*, const v2::ListSubnetsRequest*,
                           v2::ListSubnetsResponse* response) override {
    *response->add_subnets() = subnet;
    return grpc::Status::OK;
  }
  grpc::Status DownloadFile(grpc::ServerContext*, const v2::DownloadFileRequest*,
                            grpc::ServerWriter<v2::FileChunk>* writer) override {
    v2::FileChunk message;
    for (const std::string& chunk : chunks) {
      message.set_data(chunk);
      writer->Write(message);
    }
    hang.wait(true);
    return grpc::Status::OK;
  }
  grpc::Status StatFile(grpc::ServerContext*, const v2::StatFileRequest*,
                        v2::StatFileResponse* response) override {
    response->set_bytes_held(1ULL << 60);
    return grpc::Status::OK;
  }
  grpc::Status UploadFile(grpc::ServerContext*, grpc::ServerReader<v2::UploadFileRequest>* reader,
                          v2::StatFileResponse*) override {
    v2::UploadFileRequest message;
    while (reader->Read(&message)) {
    }
    return grpc::Status::OK;
  }
  grpc::Status RegisterNode(grpc::ServerContext*, const v2::RegisterNodeRequest*,
                            v2::RegisterNodeResponse* response) override {
    *response = registration;
    return grpc::Status::OK;
  }

  absl::Status Asked() { return client->GetSubnet(7).status(); }
  void Tell(const Subnet& what) {
    subnet.Clear();
    wire::Encode(what, &subnet);
  }

  v2::Subnet subnet;
  v2::RegisterNodeResponse registration;
  std::vector<std::string> chunks;
  std::atomic<bool> hang = false;
  std::unique_ptr<registry::RegistryClient> client;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(LyingRegistryTest, IsNotBelievedAboutASubnet) {
  LyingRegistry registry;
  const signing::Wallet owner = NewWallet();
  registry.Tell(SignedSubnet(owner, 1, {SomeModel("m", "content")}, 8));
  EXPECT_TRUE(absl::IsDataLoss(registry.Asked())) << "another subnet: " << registry.Asked();
  Subnet changed = SignedSubnet(owner, 1, {SomeModel("m", "content")});
  changed.models[0].files[0].sha256 = base::AsHex(base::Sha256("other"));
  registry.Tell(changed);
  EXPECT_TRUE(absl::IsPermissionDenied(registry.Asked())) << registry.Asked();
  changed = SignedSubnet(owner, 1, {SomeModel("m", "content")});
  changed.models[0].files[0].path = "../../etc/cron.d/x";
  registry.Tell(changed);
  EXPECT_TRUE(absl::IsDataLoss(registry.Asked()));
  EXPECT_THAT(std::string(registry.Asked().message()), HasSubstr("model 'm': files[0].path"));
  registry.subnet.Clear();
  EXPECT_TRUE(absl::IsDataLoss(registry.Asked()));
  registry.Tell(SignedSubnet(owner, 1));
  registry.subnet.set_name(std::string(17 << 20, 'x'));
  EXPECT_TRUE(absl::IsDataLoss(registry.Asked())) << registry.Asked();
  EXPECT_THAT(std::string(registry.Asked().message()), HasSubstr("16 MiB"));
}

TEST(LyingRegistryTest, SourcesAreNotSignedSoTheyMayChange) {
  LyingRegistry registry;
  Subnet subnet = SignedSubnet(NewWallet(), 1, {SomeModel("m", "content")});
  subnet.models[0].files[0].sources = {"https://mirror.example/m"};
  registry.Tell(subnet);
  EXPECT_TRUE(registry.Asked().ok()) << registry.Asked();
}

TEST(LyingRegistryTest, AListThatGoesRoundIsEnded) {
  LyingRegistry registry;
  registry.Tell(SignedSubnet(NewWallet(), 1));
  EXPECT_TRUE(registry.client->ListSubnets(0, 0).ok());
  EXPECT_TRUE(absl::IsDataLoss(registry.client->ListSubnets(7, 0).status()));
}

TEST(LyingRegistryTest, StoppingEndsADownload) {
  LyingRegistry registry;
  registry.hang = true;
  registry.chunks = {"abc"};
  std::stop_source stop;
  const absl::Status status = registry.client->Download(
      std::string(64, 'a'), 0, 0,
      [&](std::string_view) -> absl::Status {
        stop.request_stop();
        return absl::OkStatus();
      },
      stop.get_token());
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST(LyingRegistryTest, OneThatHangsIsGivenUp) {
  LyingRegistry registry;
  registry.hang = true;
  EXPECT_TRUE(absl::IsDeadlineExceeded(registry.Asked())) << registry.Asked();
  registry.chunks = {"abc"};
  const absl::Status status =
      registry.client->Download(std::string(64, 'a'), 0, 10, [](auto) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("stood still"));
}

TEST(LyingRegistryTest, OneThatHangsCanBeStopped) {
  LyingRegistry registry;
  registry.client = ClientOf(registry.client->address(), std::chrono::hours(1));
  registry.hang = true;
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_TRUE(absl::IsCancelled(registry.client->GetSubnet(7, stop.get_token()).status()));
}

TEST(LyingRegistryTest, WrongChunksEndADownload) {
  LyingRegistry registry;
  const auto download = [&](std::uint64_t length) {
    return registry.client->Download(std::string(64, 'a'), 0, length,
                                     [](auto) { return absl::OkStatus(); });
  };
  registry.chunks = {"abc", "def"};
  EXPECT_TRUE(download(6).ok());
  EXPECT_TRUE(absl::IsDataLoss(download(5)));
  EXPECT_TRUE(absl::IsDataLoss(download(7)));
  registry.chunks = {"abc", ""};
  EXPECT_TRUE(absl::IsDataLoss(download(0)));
  registry.chunks = {std::string((1 << 20) + 1, 'x')};
  EXPECT_TRUE(absl::IsDataLoss(download(0)));
}

TEST(LyingRegistryTest, AFileThatItDoesNotHaveAfterAllIsNoSuccess) {
  LyingRegistry registry;
  const std::string content = Bytes(1000);
  const absl::Status status =
      registry.client->Upload(FileWith(content).get(), Permit(NewWallet(), content), {});
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST(LyingRegistryTest, GetsNoProofThatIsGoodElsewhere) {
  LyingRegistry registry;
  const signing::Wallet node = NewWallet();
  const std::string nonce(32, 'n');
  registry.registration.set_nonce(nonce);
  registry.registration.set_registry("victim.example:443");
  std::string signed_for;
  const auto registered = registry.client->RegisterNode(
      PresentationOf(node), [&](std::string_view, std::string_view name, std::uint32_t) {
        signed_for = std::string(name);
        return std::string(65, 's');
      });
  EXPECT_EQ(signed_for, registry.client->address());
  EXPECT_TRUE(absl::IsDataLoss(registered.status())) << "it never gives a registration";
}

TEST(LyingRegistryTest, AnOldVersionIsNotTakenAgain) {
  TestRegistry honest;
  LyingRegistry liar;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(honest.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  ASSERT_TRUE(honest.client->UpdateSubnet(SignedSubnet(owner, 2)).ok());
  liar.Tell(SignedSubnet(owner, 1));
  std::vector<std::unique_ptr<registry::RegistryClient>> both;
  both.push_back(ClientOf(liar.client->address()));
  both.push_back(ClientOf(honest.server->address()));
  const auto answer = registry::FindSubnet(both, 7, {});
  ASSERT_TRUE(answer.subnet.ok()) << answer.subnet.status();
  EXPECT_EQ(answer.subnet->version, 2u);
  EXPECT_THAT(answer.registries, ElementsAre(honest.server->address()));
  both.pop_back();
  const auto rolled_back =
      registry::FindSubnet(both, 7, {.last = *registry::Accepted(*answer.subnet)});
  EXPECT_TRUE(absl::IsPermissionDenied(rolled_back.subnet.status())) << rolled_back.subnet.status();
  EXPECT_THAT(rolled_back.problems, SizeIs(1));
}

// A peer that speaks the protocol and takes its time.
std::unique_ptr<v2::P2PRegistryService::Stub> StubOf(const TestRegistry& registry) {
  return v2::P2PRegistryService::NewStub(grpc::CreateChannel(
      base::StrCat("127.0.0.1:", registry.server->port()), grpc::InsecureChannelCredentials()));
}

TEST(IdlePeerTest, WhoUploadsNothingMoreIsDroppedAndAnotherGoesOn) {
  TestRegistry registry({.upload_idle_max = std::chrono::seconds(0),
                         .transfer_idle_max = std::chrono::milliseconds(100)});
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes(1 << 20);
  const registry::UploadPermit permit = Permit(owner, content);
  grpc::ClientContext context;
  v2::StatFileResponse response;
  const auto stub = StubOf(registry);
  const auto writer = stub->UploadFile(&context, &response);
  v2::UploadFileRequest message;
  v2::UploadHeader* header = message.mutable_header();
  header->set_subnet_id(permit.subnet_id);
  header->set_sha256(permit.sha256);
  header->set_size_bytes(permit.size_bytes);
  header->set_expires_seconds(permit.expires_seconds);
  header->set_owner_signature(permit.owner_signature);
  ASSERT_TRUE(writer->Write(message));
  message.mutable_chunk()->set_data(content.substr(0, 1000));
  ASSERT_TRUE(writer->Write(message));
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(registry.client->Upload(FileWith(content).get(), permit, {}).ok());
}

// A registry in a process of its own, to be killed.
class RegistryProcess {
 public:
  explicit RegistryProcess(const std::filesystem::path& folder) {
    int ends[2];
    NCN_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::execl(NCN_REGISTRY_PROGRAM, "reference_registry", "--listen", "127.0.0.1:0",
              "--http-listen", "", "--folder", folder.c_str(), "--disk-reserve-mb", "0", nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    base::UniqueFd out(ends[0]);
    std::string text;
    char c = 0;
    while (::read(out.get(), &c, 1) == 1 && c != '\n') text += c;
    address_ = text.substr(text.find("http://"));
  }
  ~RegistryProcess() { Kill(); }
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  const std::string& address() const { return address_; }

 private:
  pid_t pid_ = -1;
  std::string address_;
};

TEST(KilledRegistryTest, AnUploadGoesOnWhereTheKilledRegistryLeftIt) {
  const ScratchFolder scratch;
  const signing::Wallet owner = NewWallet();
  const std::string content = Bytes(24 << 20);
  const registry::UploadPermit permit = Permit(owner, content);
  const base::UniqueFd file = FileWith(content);
  {
    RegistryProcess process(scratch.path());
    const auto client = ClientOf(process.address());
    ASSERT_TRUE(client->CreateSubnet(SignedSubnet(owner, 1)).ok());
    const auto other = ClientOf(process.address());
    const absl::Status status = client->Upload(file.get(), permit, [&](std::uint64_t) {
      // Not what was sent, but what arrived.
      const auto there = other->StatFile(permit.sha256);
      if (there.ok() && there->bytes_held > 4 << 20) process.Kill();
    });
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  }
  RegistryProcess process(scratch.path());
  const auto client = ClientOf(process.address());
  const std::uint64_t held = client->StatFile(permit.sha256)->bytes_held;
  EXPECT_GT(held, 4u << 20);
  EXPECT_LT(held, content.size());
  std::uint64_t first_told = 0;
  const absl::Status status = client->Upload(file.get(), permit, [&](std::uint64_t bytes) {
    if (first_told == 0) first_told = bytes;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(first_told, held) << "it went on";
  EXPECT_TRUE(client->StatFile(permit.sha256)->complete);
}

}  // namespace
}  // namespace ncn
