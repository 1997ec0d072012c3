// Whom a downloader believes to be who they say they are.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "transfer/testing_download.h"

namespace ncn::transfer {
namespace {

using ::testing::HasSubstr;

// A key, and a certificate for "localhost" that nobody but itself vouches for.
class TestCertificate {
 public:
  TestCertificate()
      : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(X509_new(), X509_free) {
    X509* const x509 = certificate_.get();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key_.get());
    X509_NAME* const name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_EXTENSION* const names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(x509, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(x509, key_.get(), EVP_sha256());
  }

  EVP_PKEY* key() const { return key_.get(); }
  X509* certificate() const { return certificate_.get(); }
  void WriteTo(const std::filesystem::path& path) const {
    const std::unique_ptr<FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "w"),
                                                             std::fclose);
    PEM_write_X509(file.get(), certificate_.get());
  }

 private:
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
  const std::unique_ptr<X509, decltype(&X509_free)> certificate_;
};

class DownloaderTlsTest : public DownloadFixture {
 public:
  DownloaderTlsTest() : server_(certificate_.certificate(), certificate_.key()) {
    server_.Get("/f", [this](const httplib::Request&, httplib::Response& answer) {
      answer.set_content(body_, "application/octet-stream");
    });
    server_.Get("/down", [](const httplib::Request&, httplib::Response& answer) {
      answer.set_redirect("http://localhost:1/f");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::jthread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
    certificate_.WriteTo(CaFile());
  }
  ~DownloaderTlsTest() override { server_.stop(); }

 protected:
  std::string CaFile() const { return (folder_.path() / "ca.pem").native(); }
  std::string Url(std::string_view host, std::string_view path) const {
    return base::StrCat("https://", host, ":", port_, path);
  }
  std::string Message(const std::string& source) {
    return std::string(Fetch(body_, {source}).message());
  }

  const std::string body_ = Body(9 << 20);
  const TestCertificate certificate_;
  httplib::SSLServer server_;
  int port_ = 0;
  std::jthread thread_;
};

TEST_F(DownloaderTlsTest, FetchesFromAMirrorOfTheOperators) {
  options_.allow_private_addresses = true;
  options_.ca_file = CaFile();
  const absl::Status status = Fetch(body_, {Url("localhost", "/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body_);
}

TEST_F(DownloaderTlsTest, RefusesACertificateThatNobodyVouchesFor) {
  options_.allow_private_addresses = true;
  EXPECT_THAT(Message(Url("localhost", "/f")), HasSubstr("certificate"));
}

TEST_F(DownloaderTlsTest, RefusesACertificateOfAnotherName) {
  options_.allow_private_addresses = true;
  options_.ca_file = CaFile();
  EXPECT_THAT(Message(Url("127.0.0.1", "/f")), HasSubstr("127.0.0.1"));
  EXPECT_FALSE(std::filesystem::exists(TargetPath()));
}

TEST_F(DownloaderTlsTest, RefusesAPrivateAddressBehindAName) {
  options_.ca_file = CaFile();
  EXPECT_THAT(Message(Url("localhost", "/f")), HasSubstr("not public"));
}

TEST_F(DownloaderTlsTest, FollowsNoRedirectToUnencryptedPlaces) {
  options_.allow_private_addresses = true;
  options_.ca_file = CaFile();
  EXPECT_THAT(Message(Url("localhost", "/down")), HasSubstr("from https:// to http://"));
}

}  // namespace
}  // namespace ncn::transfer
