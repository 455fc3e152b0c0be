// SPDX-License-Identifier: MIT
#include "chromium.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <map>
#include <stdexcept>

#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr const char* kProgram = "/usr/bin/chromium";
constexpr int kPatience = 30000;  // milliseconds

[[noreturn]] void become_browser(int commands, int answers, const std::string& profile) {
  // The protocol's file descriptors are 3 and 4, which the pipes' own may be already.
  const int in = fcntl(commands, F_DUPFD, 10), out = fcntl(answers, F_DUPFD, 10),
            nowhere = open("/dev/null", O_RDWR);
  dup2(in, 3);
  dup2(out, 4);
  dup2(nowhere, 1);
  dup2(nowhere, 2);
  execl(kProgram, kProgram, "--headless=new", "--no-sandbox", "--disable-gpu",
        "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--hide-scrollbars", "--force-device-scale-factor=1", "--remote-debugging-pipe",
        ("--user-data-dir=" + profile).c_str(), nullptr);
  _exit(127);
}

}  // namespace

bool Chromium::is_installed() { return access(kProgram, X_OK) == 0; }

Chromium::Chromium() {
  std::array<int, 2> commands{}, answers{};
  if (pipe2(commands.data(), O_CLOEXEC) != 0 || pipe2(answers.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("no pipes");
  const std::string profile = profile_.path().string();
  process_ = fork();
  if (process_ == 0) {
    setpgid(0, 0);
    become_browser(commands[0], answers[1], profile);
  }
  close(commands[0]);
  close(answers[1]);
  to_ = commands[1];
  from_ = answers[0];
}

Chromium::~Chromium() {
  try {
    call("Browser.close");
  } catch (const std::exception&) {
    kill(-process_, SIGKILL);
  }
  close(to_);
  close(from_);
  waitpid(process_, nullptr, 0);
}

Json Chromium::call(const std::string& method, const Json& parameters, const std::string& session) {
  Json message = {{"id", ++last_id_}, {"method", method}, {"params", parameters}};
  if (!session.empty()) message["sessionId"] = session;
  const std::string text = message.dump() + '\0';
  for (size_t at = 0; at < text.size();) {
    const ssize_t count = write(to_, text.data() + at, text.size() - at);
    if (count <= 0) throw std::runtime_error("the browser does not listen");
    at += static_cast<size_t>(count);
  }
  while (true) {
    Json answer = receive();
    if (!answer.contains("id")) {
      events_.push_back(std::move(answer));
    } else if (answer["id"] == last_id_) {
      if (answer.contains("error"))
        throw std::runtime_error(method + ": " + answer["error"].dump());
      return answer["result"];
    }
  }
}

void Chromium::wait_for(const std::string& event, const std::string& session) {
  const auto is_it = [&](const Json& each) {
    return each["method"] == event && each.value("sessionId", "") == session;
  };
  for (const Json& each : events_) {
    if (is_it(each)) return;
  }
  do events_.push_back(receive());
  while (!is_it(events_.back()));
}

std::vector<Json> Chromium::take_events(const std::string& session) {
  std::vector<Json> taken;
  std::deque<Json> others;
  for (Json& each : events_) {
    if (each.value("sessionId", "") == session)
      taken.push_back(std::move(each));
    else
      others.push_back(std::move(each));
  }
  events_ = std::move(others);
  return taken;
}

Json Chromium::receive() {
  while (true) {
    if (const size_t end = received_.find('\0'); end != std::string::npos) {
      Json message = Json::parse(received_.substr(0, end));
      received_.erase(0, end + 1);
      return message;
    }
    pollfd waiting{from_, POLLIN, 0};
    if (poll(&waiting, 1, kPatience) <= 0) throw std::runtime_error("the browser does not answer");
    std::array<char, 65536> buffer;
    const ssize_t count = read(from_, buffer.data(), buffer.size());
    if (count <= 0) throw std::runtime_error("the browser is gone");
    received_.append(buffer.data(), static_cast<size_t>(count));
  }
}

Tab::Tab(Chromium& browser, int width, int height, bool dark)
    : browser_(browser), width_(width), height_(height) {
  target_ =
      browser_.call("Target.createTarget", {{"url", "about:blank"}})["targetId"].get<std::string>();
  session_ =
      browser_
          .call("Target.attachToTarget", {{"targetId", target_}, {"flatten", true}})["sessionId"]
          .get<std::string>();
  for (const char* domain : {"Page.enable", "Runtime.enable", "Log.enable", "Network.enable"})
    call(domain);
  resize(width, height);
  set_dark(dark);
}

Tab::~Tab() {
  try {
    browser_.call("Target.closeTarget", {{"targetId", target_}});
  } catch (const std::exception&) {  // the browser's own end says so
  }
}

void Tab::open(const std::filesystem::path& file) {
  url_ = "file://" + file.string();
  browser_.take_events(session_);
  call("Page.navigate", {{"url", url_}});
  browser_.wait_for("Page.loadEventFired", session_);
  settle();
}

Json Tab::eval(const std::string& expression) {
  const Json answer =
      call("Runtime.evaluate",
           {{"expression", expression}, {"awaitPromise", true}, {"returnByValue", true}});
  if (answer.contains("exceptionDetails"))
    throw std::runtime_error(expression + ": " + answer["exceptionDetails"].dump());
  return answer["result"].value("value", Json());
}

void Tab::settle() {
  eval(
      "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => "
      "requestAnimationFrame(() => done(1)))))");
}

void Tab::press(const std::string& key) {
  static const std::map<std::string, int> kCodes = {
      {"Enter", 13},   {"Tab", 9},         {"Escape", 27},   {"End", 35},
      {"Home", 36},    {"PageUp", 33},     {"PageDown", 34}, {"ArrowLeft", 37},
      {"ArrowUp", 38}, {"ArrowRight", 39}, {"ArrowDown", 40}};
  const Json event = {{"key", key}, {"code", key}, {"windowsVirtualKeyCode", kCodes.at(key)}};
  for (const char* type : {"rawKeyDown", "keyUp"}) {
    Json parameters = event;
    parameters["type"] = type;
    call("Input.dispatchKeyEvent", parameters);
  }
  settle();
}

void Tab::move(double x, double y) {
  call("Input.dispatchMouseEvent", {{"type", "mouseMoved"}, {"x", x}, {"y", y}});
  settle();
}

void Tab::click(double x, double y) {
  move(x, y);
  for (const char* type : {"mousePressed", "mouseReleased"}) {
    call("Input.dispatchMouseEvent",
         {{"type", type}, {"x", x}, {"y", y}, {"button", "left"}, {"clickCount", 1}});
  }
  settle();
}

Json Tab::middle_of(const std::string& selector) {
  const Json at =
      eval("(() => { const e = document.querySelector(" + Json(selector).dump() +
           "); e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); return "
           "[r.x + r.width / 2, r.y + r.height / 2]; })()");
  settle();  // the scroll's own events come first
  return at;
}

void Tab::move_to(const std::string& selector) {
  const Json at = middle_of(selector);
  move(at[0], at[1]);
}

void Tab::click_on(const std::string& selector) {
  const Json at = middle_of(selector);
  click(at[0], at[1]);
}

void Tab::resize(int width, int height) {
  width_ = width;
  height_ = height;
  call("Emulation.setDeviceMetricsOverride",
       {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", false}});
  if (!url_.empty()) settle();
}

void Tab::set_dark(bool dark) {
  const Json feature = {{"name", "prefers-color-scheme"}, {"value", dark ? "dark" : "light"}};
  call("Emulation.setEmulatedMedia", {{"features", Json::array({feature})}});
  if (!url_.empty()) settle();
}

void Tab::screenshot(const std::filesystem::path& file) {
  const Json height = eval("document.documentElement.scrollHeight");
  call("Emulation.setDeviceMetricsOverride",
       {{"width", width_}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", false}});
  settle();
  const std::string bytes =
      from_base64(call("Page.captureScreenshot", {{"format", "png"}})["data"]);
  std::ofstream(file, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  resize(width_, height_);
}

std::string Tab::print() {
  return from_base64(call("Page.printToPDF", {{"printBackground", true}})["data"]);
}

std::vector<std::string> Tab::problems() {
  settle();
  std::vector<std::string> found;
  for (const Json& event : browser_.take_events(session_)) {
    const std::string method = event["method"];
    const Json& parameters = event["params"];
    if (method == "Runtime.exceptionThrown" || method == "Log.entryAdded" ||
        (method == "Runtime.consoleAPICalled" && parameters["type"] != "log")) {
      found.push_back(method + " " + parameters.dump());
    } else if (method == "Network.requestWillBeSent" && parameters["request"]["url"] != url_) {
      found.push_back("asks for " + parameters["request"]["url"].get<std::string>());
    }
  }
  return found;
}

}  // namespace vitrine::testing
