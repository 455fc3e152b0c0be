// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "chromium.h"
#include "support.h"

namespace vitrine::testing {
using namespace internal;

/// One for all pages of a program, which starts it; null if chromium is missing.
inline std::unique_ptr<Chromium> browser;

class PageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!browser) GTEST_SKIP() << "there is no chromium here";
  }

  /// The page, open in a wide window.
  Tab& show(const std::string& page) {
    file_ = folder_.write("page.html", page);
    tab_ = std::make_unique<Tab>(*browser, 1280, 900);
    tab_->open(file_);
    return *tab_;
  }

  /// What holds for every page, whatever it shows.
  void expect_sound(const std::string& name) {
    Tab& tab = *tab_;
    const char* pictures = std::getenv("VITRINE_SCREENSHOTS");
    for (const int width : {1280, 400}) {
      for (const bool dark : {false, true}) {
        const std::string which = name + "-" + std::to_string(width) + (dark ? "-dark" : "-light");
        tab.resize(width, 900);
        tab.set_dark(dark);
        tab.settle();
        EXPECT_LE(tab.eval("document.documentElement.scrollWidth").get<int>(), width)
            << which << " is wider than its window";
        EXPECT_EQ(tab.eval("document.documentElement.dataset.theme"), dark ? "dark" : "light")
            << which;
        EXPECT_EQ(tab.eval("[...document.querySelectorAll('.card')].filter(c => "
                           "c.getBoundingClientRect().height < 30).length"),
                  0)
            << which;
        if (pictures) tab.screenshot(std::filesystem::path(pictures) / (which + ".png"));
      }
    }
    tab.resize(1280, 900);
    tab.set_dark(false);
    // The switch overrules the system's choice.
    tab.click_on("#theme");
    EXPECT_EQ(tab.eval("document.documentElement.dataset.theme"), "dark");
    tab.click_on("#theme");
    EXPECT_EQ(tab.eval("document.documentElement.dataset.theme"), "light");
    // On paper there is what was drawn, on white.
    EXPECT_EQ(tab.print().substr(0, 5), "%PDF-");
    EXPECT_EQ(tab.eval("[...document.querySelectorAll('.grid-frame')].every(frame => "
                       "frame.querySelectorAll('.prints canvas').length > 0)"),
              true);
    // Pictures have a text alternative.
    EXPECT_EQ(tab.eval("[...document.querySelectorAll('[tabindex=\"0\"]')].filter(e => "
                       "!e.getAttribute('aria-label') && !e.classList.contains('scroll')).length"),
              0);
    EXPECT_EQ(tab.eval("[...document.querySelectorAll('button')].filter(e => !e.textContent.trim() "
                       "&& !e.getAttribute('aria-label')).length"),
              0);
    for (const std::string& problem : tab.problems()) ADD_FAILURE() << name << ": " << problem;
  }

  /// The middle of a cell of the first grid.
  std::pair<double, double> cell(int row, int column) {
    const Json at = tab_->eval(
        "(() => { const g = document.querySelector('.grid-frame').grid; "
        "g.element.scrollIntoView({block: 'center'}); const r = g.rectOf(" +
        std::to_string(row) + "," + std::to_string(column) +
        "); return [r.left + r.width / 2, r.top + r.height / 2]; })()");
    tab_->settle();  // the scroll's own events come first
    return {at[0].get<double>(), at[1].get<double>()};
  }
  std::string spoken() { return tab_->text("[role=gridcell]"); }
  /// As the page writes it.
  std::string written(double value, const std::string& how = "V.number") {
    return tab_->eval(how + "(" + Json(value).dump() + ")").get<std::string>();
  }
  /// What a screen reader hears of a word of the text.
  std::string label(int word) {
    return tab_
        ->eval("document.querySelectorAll('.tokens .word')[" + std::to_string(word) +
               "].getAttribute('aria-label')")
        .get<std::string>();
  }
  void focus(const std::string& selector) {
    tab_->eval("document.querySelector(" + Json(selector).dump() + ").focus()");
    tab_->settle();
  }
  /// What the card would put on the clipboard.
  Json numbers(const std::string& card) {
    return Json::parse(tab_->eval("document.querySelectorAll('.card')[" + card + "].numbers.json()")
                           .get<std::string>());
  }

  TempFolder folder_;
  std::filesystem::path file_;
  std::unique_ptr<Tab> tab_;
};

}  // namespace vitrine::testing
