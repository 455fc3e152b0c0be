// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "page_fixture.h"
#include "results.h"

// The page of concept directions in a real browser.

namespace vitrine {
using namespace internal;
namespace {

using testing::demo_source;
using testing::says;
using testing::Tab;

class ConceptPageInBrowser : public testing::PageTest {
 protected:
  /// Puts the pointer on a dot.
  void point_at(int row, int i) {
    const std::string place =
        "(() => { const box = document.querySelector('.dots .plot'); box.scrollIntoView({block: "
        "'center'}); const d = box.parentElement.dots, p = d.place({row: " +
        std::to_string(row) + ", i: " + std::to_string(i) +
        "}), at = box.getBoundingClientRect(); return [at.left + p[0], at.top + p[1]]; })()";
    tab_->eval(place);
    tab_->settle();
    const Json at = tab_->eval(place);
    tab_->move(at[0].get<double>(), at[1].get<double>());
  }
  std::string row(int at) {
    return tab_
        ->eval("document.querySelectorAll('.prompts tbody tr')[" + std::to_string(at) +
               "].textContent")
        .get<std::string>();
  }
  /// The prompt that the dots and the list show.
  std::string reading() { return tab_->text(".dots .where"); }
};

TEST_F(ConceptPageInBrowser, ShowsEachPromptOfTheChosenSite) {
  Tab& tab =
      show(concept_page(testing::made_up_directions(), testing::made_up_subject(), demo_source()));
  // It begins with the best site.
  EXPECT_TRUE(says(tab.text(".site"), "blocks.0.hook_resid_post", "AUC0.875",
                   "20.0 % of the activations’ 10.00",
                   "1 of 5 held-out prompts is on the wrong side. 1 on the midpoint."));
  EXPECT_TRUE(says(row(0), written(3, "V.signed"), "own side", "positive 2"));
  EXPECT_TRUE(says(row(2), "on the midpoint", "negative 1"));
  EXPECT_TRUE(says(row(3), written(-0.5, "V.signed"), "wrong side", "positive 1"));
  EXPECT_TRUE(says(row(4), "own side", "negative 0"));
  EXPECT_EQ(tab.text(".steer code"), testing::made_up_subject().steering[1]);
  // Keys go along a row by score, and across to the pair.
  focus(".dots .plot");
  tab.press("End");
  EXPECT_TRUE(says(reading(), "positive 2: +3"));
  EXPECT_EQ(reading().find("pair"), std::string::npos);
  EXPECT_EQ(tab.eval("document.querySelectorAll('.dots .hair').length"), 0);
  tab.press("Home");
  EXPECT_TRUE(says(reading(), "positive 1: −0.5", "wrong side", "its pair negative 1: 0"));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.dots .hair').length"), 1);
  EXPECT_EQ(tab.eval("document.querySelectorAll('.dots .noised .token').length"), 3);
  EXPECT_EQ(tab.eval("[...document.querySelectorAll('.dots .noised .token')].findIndex(t => "
                     "t.classList.contains('pooled'))"),
            2);
  EXPECT_TRUE(says(tab.text(".prompts tr.here"), "positive 1"));
  tab.press("ArrowDown");
  EXPECT_TRUE(says(reading(), "negative 1: 0", "on the midpoint"));
  tab.press("Enter");
  point_at(0, 0);
  EXPECT_TRUE(says(reading(), "positive 0: +2"));
  EXPECT_TRUE(says(tab.text(".tip"), "positive 0, own side", "+2"));
  tab.move(3, 3);
  EXPECT_TRUE(says(reading(), "negative 1"));  // what was pinned comes back
  tab.move_to(".prompts tbody tr");
  EXPECT_TRUE(says(reading(), "positive 2"));
  const Json prompts = numbers("2");
  EXPECT_EQ(prompts[1]["score"], -0.5);
  EXPECT_EQ(prompts[1]["side"], "wrong side");
  const Json elements = numbers("4");
  EXPECT_EQ(elements[0]["element"], 3);
  EXPECT_EQ(elements[0]["value"], -2);
  expect_sound("concept");
}

TEST_F(ConceptPageInBrowser, ItsCurveChoosesTheSite) {
  Tab& tab =
      show(concept_page(testing::made_up_directions(), testing::made_up_subject(), demo_source()));
  EXPECT_TRUE(says(tab.text(".curve .reading"), "layer 0", "resid_post 0.875"));
  focus(".curve .plot");
  tab.press("Home");
  EXPECT_TRUE(says(tab.text(".site"), "blocks.0.hook_resid_pre", "2 of 5 held-out prompts are"));
  EXPECT_EQ(tab.text(".steer code"), testing::made_up_subject().steering[0]);
  EXPECT_TRUE(says(row(0), "+1", "own side", "positive 0"));
  EXPECT_EQ(numbers("2")[3]["side"], "wrong side");  // a negative prompt above the middle
  tab.press("Enter");
  tab.press("End");
  EXPECT_TRUE(says(tab.text(".site"), "blocks.1.hook_resid_post", "AUCnone",
                   "5 of 5 prompts have no score"));
  EXPECT_TRUE(says(reading(), "has no score"));
  EXPECT_TRUE(says(row(4), "none", "no score"));
  EXPECT_TRUE(numbers("2")[0]["score"].is_null());
  tab.move_to(".curve .plot");
  tab.move(3, 3);
  EXPECT_TRUE(says(tab.text(".site"), "blocks.0.hook_resid_pre"));  // what was pinned comes back
  tab.click_on("input[value=norm] + label");
  EXPECT_TRUE(says(tab.text(".curve .reading"), "layer embed", "resid_post 0.1"));
  const Json sites = numbers("0");
  ASSERT_EQ(sites.size(), 3u);
  EXPECT_EQ(sites[1]["accuracy"], 0.75);
  focus(".cosines .grid");
  tab.press("Home");  // the last site is on top
  EXPECT_TRUE(says(spoken(), "blocks.1.hook_resid_post and blocks.0.hook_resid_pre: +0.6"));
  tab.press("ArrowRight");
  EXPECT_TRUE(says(tab.text(".cosines .where"),
                   "blocks.1.hook_resid_post and blocks.0.hook_resid_post: +0.8"));
  expect_sound("concept-curve");
}

TEST_F(ConceptPageInBrowser, OneSiteOfManyKindsAndNoTokenizer) {
  std::vector<ConceptDirection> found = testing::made_up_directions();
  found.resize(2);
  found[0].site = "blocks.0.attn.hook_z";
  found[0].cohens_d = std::numeric_limits<double>::infinity();
  ConceptSubject subject = testing::made_up_subject();
  subject.steering.clear();
  PageSource source = demo_source();
  source.config.width = 4;
  source.tokenizer = nullptr;
  Tab& tab = show(concept_page(found, subject, source));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.curve select option').length"), 2);
  EXPECT_EQ(tab.eval("document.querySelectorAll('.cosines, .steer').length"),
            0);  // no common basis, nothing to copy
  tab.eval(
      "(() => { const s = document.querySelector('.curve select'); s.selectedIndex = 0; "
      "s.dispatchEvent(new Event('change')); })()");
  EXPECT_TRUE(says(tab.text(".site"), "blocks.0.attn.hook_z", "d∞"));
  EXPECT_TRUE(says(tab.text(".elements .bars"), "head 0, 0"));
  EXPECT_TRUE(says(tab.text(".dots .noised"), "#10"));
  expect_sound("concept-kinds");
  found.resize(1);
  show(concept_page(found, subject, source));
  EXPECT_EQ(tab_->eval("document.querySelectorAll('.curve').length"), 0);
  EXPECT_TRUE(says(tab_->text(".site"), "How well it separates"));
  expect_sound("concept-one");
}

}  // namespace
}  // namespace vitrine
