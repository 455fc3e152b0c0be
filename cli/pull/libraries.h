// SPDX-License-Identifier: MIT
#pragma once

#include <curl/curl.h>
#include <openssl/evp.h>

// The two libraries that `vitrine pull` uses, loaded when a pull begins: linked, they would add
// 5 ms to the start of every command.

namespace vitrine::cli {

/// Functions of libcurl, under their names without the prefix.
struct CurlLibrary {
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_reset) easy_reset;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_setopt) easy_setopt;
  decltype(&curl_easy_getinfo) easy_getinfo;
  decltype(&curl_easy_perform) easy_perform;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;
  decltype(&curl_url) url;
  decltype(&curl_url_cleanup) url_cleanup;
  decltype(&curl_url_set) url_set;
  decltype(&curl_url_get) url_get;
  decltype(&curl_free) free;
};

/// Functions of OpenSSL's libcrypto.
struct CryptoLibrary {
  decltype(&EVP_sha1) sha1;
  decltype(&EVP_sha256) sha256;
  decltype(&EVP_MD_CTX_new) context_new;
  decltype(&EVP_MD_CTX_free) context_free;
  decltype(&EVP_DigestInit_ex) init;
  decltype(&EVP_DigestUpdate) update;
  decltype(&EVP_DigestFinal_ex) final;
};

/// Each is loaded by the first call, which must not run beside another one. Throws Error (internal)
/// where the library is missing.
const CurlLibrary& curl_library();
const CryptoLibrary& crypto_library();

}  // namespace vitrine::cli
