#include "signing/wallet.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "signing/recovery.h"
#include "signing/testing_wallet.h"

namespace ncn::signing {
namespace {

using testing::HasSubstr;
using testing::Not;

const base::Digest kDigest = base::Sha256("message");

TEST(WalletTest, DerivesTheAddressOfAPublishedKey) {
  EXPECT_EQ(TestWallet().address().ToString(), kTestAddress);
  EXPECT_EQ(Wallet::FromPrivateKeyHex(std::string_view(kTestKey).substr(2))->address(),
            TestWallet().address());
}

TEST(WalletTest, SignsRecoverably) {
  const Wallet wallet = TestWallet();
  for (int i = 0; i < 64; ++i) {
    const base::Digest digest = base::Sha256(std::to_string(i));
    const absl::StatusOr<std::string> signature = wallet.Sign(digest);
    ASSERT_TRUE(signature.ok());
    EXPECT_EQ(*RecoverSigner(digest, *signature), wallet.address());
    EXPECT_LT(static_cast<unsigned char>((*signature)[32]), 0x80) << "s is high";
  }
}

TEST(WalletTest, SignsLikeEthers) {
  EXPECT_EQ(base::HexEncode(*TestWallet().Sign(base::Sha256("req-1output1767225600"))),
            "ff61e47e927a9db84ef07585ed6e413dc6aeb1dc316f8335dd9766ee3ea831fd"
            "587732dfb2ed76189e27d5cf46966453505eb313e471e58b805b146263ebf5b51b");
}

TEST(WalletTest, GeneratesDifferentKeys) {
  EXPECT_NE(Wallet::Generate()->address(), Wallet::Generate()->address());
}

TEST(WalletTest, RefusesUnusableKeysWithoutShowingThem) {
  const std::string secret(kTestKey);
  for (const std::string& text :
       {std::string(), secret.substr(0, 65), secret + "0", secret.substr(0, 65) + "g",
        "0x0x" + secret.substr(2, 62), " " + secret}) {
    const absl::Status status = Wallet::FromPrivateKeyHex(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(secret.substr(2, 8))));
  }
  const std::string order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
  EXPECT_THAT(std::string(Wallet::FromPrivateKeyHex(order).status().message()),
              HasSubstr("not a private key"));
  EXPECT_FALSE(Wallet::FromPrivateKeyHex(std::string(64, '0')).ok());
}

TEST(WalletTest, LeavesNoKeyInAForkedChild) {
  const Wallet wallet = TestWallet();
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(wallet.Sign(kDigest).status().code() == absl::StatusCode::kFailedPrecondition ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(wallet.Sign(kDigest).ok());
}

TEST(RecoveryTest, RefusesMalformedAndMalleatedSignatures) {
  const std::string good = *TestWallet().Sign(kDigest);
  EXPECT_FALSE(RecoverSigner(kDigest, "").ok());
  EXPECT_FALSE(RecoverSigner(kDigest, good.substr(0, 64)).ok());
  for (const char v : {'\0', '\1', '\x1a', '\x1d', '\x25'}) {
    EXPECT_FALSE(RecoverSigner(kDigest, good.substr(0, 64) + v).ok());
  }
  EXPECT_FALSE(RecoverSigner(kDigest, std::string(64, '\0') + '\x1b').ok());
  EXPECT_FALSE(RecoverSigner(kDigest, std::string(64, '\xff') + '\x1b').ok());
  std::string high = good;  // The other form of the same signature: n - s and the other v.
  const std::string order =
      *base::HexDecode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
  int borrow = 0;
  for (int i = 31; i >= 0; --i) {
    const auto at = static_cast<std::size_t>(i);
    const int difference =
        static_cast<unsigned char>(order[at]) - static_cast<unsigned char>(good[32 + at]) - borrow;
    borrow = difference < 0;
    high[32 + at] = static_cast<char>(difference & 0xff);
  }
  high[64] = static_cast<char>(55 - good[64]);
  EXPECT_THAT(std::string(RecoverSigner(kDigest, high).status().message()), HasSubstr("high s"));
}

class WalletFileTest : public testing::Test {
 protected:
  WalletFileTest() {
    std::string folder = testing::TempDir() + "/wallet.XXXXXX";
    folder_ = ::mkdtemp(folder.data());
  }
  ~WalletFileTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path Path() const { return folder_ / "key"; }
  void Write(std::string_view text, mode_t mode = 0600) const {
    std::ofstream(Path()) << text;
    ::chmod(Path().c_str(), mode);
  }
  absl::Status LoadError() const { return Wallet::LoadOrGenerate(Path()).status(); }
  std::size_t FileCount() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_),
                                                  std::filesystem::directory_iterator()));
  }

  std::filesystem::path folder_;
};

TEST_F(WalletFileTest, GeneratesOnceAndLoadsAfterwards) {
  const absl::StatusOr<Wallet::Loaded> first = Wallet::LoadOrGenerate(Path());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->generated);
  const absl::StatusOr<Wallet::Loaded> second = Wallet::LoadOrGenerate(Path());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->generated);
  EXPECT_EQ(first->wallet.address(), second->wallet.address());
  struct stat info;
  ASSERT_EQ(::stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(FileCount(), 1u);
}

TEST_F(WalletFileTest, MakesMissingFoldersForTheOwnerAlone) {
  const std::filesystem::path path = folder_ / "a" / "b" / "key";
  ASSERT_TRUE(Wallet::LoadOrGenerate(path).ok());
  struct stat info;
  ASSERT_EQ(::stat((folder_ / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(WalletFileTest, AllThatStartAtOnceGetOneKey) {
  std::vector<std::string> addresses(8);
  {
    std::vector<std::jthread> threads;
    for (std::string& address : addresses) {
      threads.emplace_back(
          [&] { address = Wallet::LoadOrGenerate(Path())->wallet.address().ToString(); });
    }
  }
  EXPECT_THAT(addresses, testing::Each(addresses.front()));
  EXPECT_EQ(FileCount(), 1u);
}

TEST_F(WalletFileTest, NeverOverwritesAKey) {
  ASSERT_TRUE(Wallet::Create(Path()).ok());
  EXPECT_EQ(Wallet::Create(Path()).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(WalletFileTest, LoadsAKeyOfEitherFormWithWhiteSpace) {
  Write(std::string(" ") + kTestKey + "\r\n");
  EXPECT_EQ(Wallet::Load(Path())->address().ToString(), kTestAddress);
}

TEST_F(WalletFileTest, RefusesAFileThatOthersMayReadAndNamesTheCure) {
  Write(kTestKey, 0640);
  EXPECT_EQ(LoadError().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(LoadError().message()), HasSubstr("chmod 600 " + Path().native()));
}

TEST_F(WalletFileTest, RefusesAFileOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  Write(kTestKey);
  ASSERT_EQ(::chown(Path().c_str(), 12345, 12345), 0);
  EXPECT_EQ(LoadError().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(LoadError().message()), HasSubstr("12345"));
}

TEST_F(WalletFileTest, RefusesAMalformedFileAndKeepsIt) {
  for (const std::string& text :
       {std::string(), std::string("hello"), std::string(kTestKey) + kTestKey,
        std::string(100000, 'a'), std::string(64, '\0')}) {
    Write(text);
    EXPECT_EQ(LoadError().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(LoadError().message()), HasSubstr("backup"));
    EXPECT_EQ(*base::ReadFile(Path(), 200000), text);
  }
}

TEST_F(WalletFileTest, RefusesLinksFoldersAndPipes) {
  std::filesystem::create_symlink("elsewhere", Path());
  EXPECT_THAT(std::string(LoadError().message()), HasSubstr("symbolic link"));
  std::filesystem::remove(Path());
  std::filesystem::create_directory(Path());
  EXPECT_THAT(std::string(LoadError().message()), HasSubstr("regular file"));
  std::filesystem::remove(Path());
  ASSERT_EQ(::mkfifo(Path().c_str(), 0600), 0);
  EXPECT_THAT(std::string(LoadError().message()), HasSubstr("regular file"));
}

}  // namespace
}  // namespace ncn::signing
