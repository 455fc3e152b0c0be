// SPDX-License-Identifier: MIT
#include "cli/pull/libraries.h"

#include <dlfcn.h>

#include "base/check.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// A shared library that stays loaded.
class Loaded {
 public:
  Loaded(const char* file, const char* package)
      : handle_(dlopen(file, RTLD_NOW | RTLD_LOCAL)), file_(file), package_(package) {
    if (!handle_) missing(file);
  }

  template <typename Function>
  void find(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(dlsym(handle_, name));
    if (!function) missing(name);
  }

 private:
  [[noreturn]] void missing(const char* what) const {
    const char* reason = dlerror();
    internal_error("missing {}, which vitrine pull needs: {}; install {} with {}", what,
                   reason ? reason : "not found", package_, file_);
  }

  void* handle_;
  const char* file_;
  const char* package_;
};

CurlLibrary load_curl() {
  const Loaded library("libcurl.so.4", "libcurl4");
  CurlLibrary curl{};
  decltype(&curl_global_init) global_init = nullptr;
  library.find(global_init, "curl_global_init");
  library.find(curl.easy_init, "curl_easy_init");
  library.find(curl.easy_reset, "curl_easy_reset");
  library.find(curl.easy_cleanup, "curl_easy_cleanup");
  library.find(curl.easy_setopt, "curl_easy_setopt");
  library.find(curl.easy_getinfo, "curl_easy_getinfo");
  library.find(curl.easy_perform, "curl_easy_perform");
  library.find(curl.easy_strerror, "curl_easy_strerror");
  library.find(curl.slist_append, "curl_slist_append");
  library.find(curl.slist_free_all, "curl_slist_free_all");
  library.find(curl.url, "curl_url");
  library.find(curl.url_cleanup, "curl_url_cleanup");
  library.find(curl.url_set, "curl_url_set");
  library.find(curl.url_get, "curl_url_get");
  library.find(curl.free, "curl_free");
  if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) internal_error("libcurl cannot be initialised");
  return curl;
}

CryptoLibrary load_crypto() {
  const Loaded library("libcrypto.so.3", "libssl3");
  CryptoLibrary crypto{};
  library.find(crypto.sha1, "EVP_sha1");
  library.find(crypto.sha256, "EVP_sha256");
  library.find(crypto.context_new, "EVP_MD_CTX_new");
  library.find(crypto.context_free, "EVP_MD_CTX_free");
  library.find(crypto.init, "EVP_DigestInit_ex");
  library.find(crypto.update, "EVP_DigestUpdate");
  library.find(crypto.final, "EVP_DigestFinal_ex");
  return crypto;
}

}  // namespace

const CurlLibrary& curl_library() {
  static const CurlLibrary library = load_curl();
  return library;
}

const CryptoLibrary& crypto_library() {
  static const CryptoLibrary library = load_crypto();
  return library;
}

}  // namespace vitrine::cli
