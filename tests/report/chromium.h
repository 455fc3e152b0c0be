// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;

/// A real browser without a window, driven over two pipes by the DevTools protocol. Whatever it
/// refuses or leaves unanswered for half a minute is a std::runtime_error.
class Chromium {
 public:
  static bool is_installed();
  Chromium();
  ~Chromium();
  Chromium(const Chromium&) = delete;
  Chromium& operator=(const Chromium&) = delete;

  /// The result of a method.
  Json call(const std::string& method, const Json& parameters = Json::object(),
            const std::string& session = "");
  /// Waits for an event of a session.
  void wait_for(const std::string& event, const std::string& session);
  /// The events of a session that came since the last call.
  std::vector<Json> take_events(const std::string& session);

 private:
  Json receive();

  TempFolder profile_;
  pid_t process_ = -1;
  int to_ = -1, from_ = -1, last_id_ = 0;
  std::string received_;
  std::deque<Json> events_;
};

/// A page in the browser, opened from a file.
class Tab {
 public:
  Tab(Chromium& browser, int width, int height, bool dark = false);
  ~Tab();

  void open(const std::filesystem::path& file);
  /// The value of an expression, promises awaited. A JavaScript error is a std::runtime_error.
  Json eval(const std::string& expression);
  std::string text(const std::string& selector) {
    return eval("document.querySelector(" + Json(selector).dump() + ").textContent")
        .get<std::string>();
  }
  /// Until the page has drawn what is asked of it.
  void settle();
  /// "ArrowLeft", "Enter", "Tab", ...
  void press(const std::string& key);
  void move(double x, double y);
  void click(double x, double y);
  /// The middle of an element, scrolled to where it can be seen.
  void move_to(const std::string& selector);
  void click_on(const std::string& selector);
  void resize(int width, int height);
  void set_dark(bool dark);
  void screenshot(const std::filesystem::path& file);
  /// Bytes of the page on paper, as a PDF.
  std::string print();
  /// What went wrong so far: errors on the console, exceptions, requests for anything but the file
  /// itself.
  std::vector<std::string> problems();

 private:
  Json call(const std::string& method, const Json& parameters = Json::object()) {
    return browser_.call(method, parameters, session_);
  }
  Json middle_of(const std::string& selector);

  Chromium& browser_;
  std::string target_, session_, url_;
  int width_, height_;
};

}  // namespace vitrine::testing
