// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "page_fixture.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/saliency.h"

// Every page in a real browser: it shows the numbers that it was given, answers to pointer and
// keys, makes no requests, and fits wide and narrow windows, light and dark. With
// VITRINE_SCREENSHOTS=FOLDER each page leaves a picture there.

namespace vitrine {
using namespace internal;
namespace {

using testing::browser;
using testing::Chromium;
using testing::demo_source;
using testing::PageTest;
using testing::Tab;

class Browser : public ::testing::Environment {
 public:
  void SetUp() override {
    if (Chromium::is_installed()) browser = std::make_unique<Chromium>();
  }
  void TearDown() override { browser.reset(); }
};
const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new Browser);

std::string shown(const PageSource& source, int32_t id) {
  return printable(source.tokenizer->token_bytes(id));
}

// --- lens

class LensPage : public PageTest {
 protected:
  const PageSource source_ = demo_source();
  const Lens lens_ = testing::made_up_lens(4, 6, 3, 2, 17);
  std::string page() const { return lens_page({&lens_, 1}, source_); }
  /// Row of the picture (last layer on top) to index of the arrays.
  size_t at(int row, int column) const {
    return lens_.cell(lens_.rows() - 1 - static_cast<size_t>(row), static_cast<size_t>(column));
  }
  std::string top(int row, int column) const {
    return shown(source_, lens_.top_ids[3 * at(row, column)]);
  }
};

TEST_F(LensPage, KeysMoveOverTheCellsAndSayWhatIsThere) {
  Tab& tab = show(page());
  tab.eval("document.querySelector('.grid').focus()");
  tab.press("Home");
  tab.press("ArrowDown");
  tab.press("ArrowRight");
  tab.press("ArrowRight");
  EXPECT_TRUE(testing::says(spoken(), "blocks.1.hook_resid_post, position 2", "says " + top(1, 2),
                            "rank " + std::to_string(lens_.target_ranks[at(1, 2)])));
  EXPECT_TRUE(testing::says(tab.text(".detail"), "blocks.1.hook_resid_post, position 2", top(1, 2),
                            std::to_string(lens_.target_ranks[at(1, 2)]) + " of 17"));
  tab.press("End");
  EXPECT_TRUE(testing::says(spoken(), "blocks.1.hook_resid_post, position 5"));
  tab.press("ArrowRight");  // at the edge nothing happens
  EXPECT_TRUE(testing::says(spoken(), "blocks.1.hook_resid_post, position 5"));
  EXPECT_TRUE(testing::says(tab.text(".rise"), "Position 5, after "));
}

TEST_F(LensPage, APointerShowsACellAndAClickKeepsIt) {
  Tab& tab = show(page());
  auto [x, y] = cell(3, 1);
  tab.move(x, y);
  EXPECT_TRUE(testing::says(tab.text(".detail"), "embed, position 1"));
  EXPECT_EQ(tab.eval("document.querySelector('.tip').hidden"), false);
  EXPECT_TRUE(testing::says(tab.text(".tip"), top(3, 1)));
  tab.click(x, y);
  EXPECT_TRUE(testing::says(tab.text(".detail"), "pinned"));
  std::tie(x, y) = cell(0, 4);
  tab.move(x, y);
  EXPECT_TRUE(testing::says(tab.text(".detail"), "position 4"));
  tab.move(5, 5);
  EXPECT_TRUE(testing::says(tab.text(".detail"), "embed, position 1", "pinned"));
  EXPECT_EQ(tab.eval("document.querySelector('.tip').hidden"), true);
}

TEST_F(LensPage, RanksThroughTheLayersAreThoseOfTheColumn) {
  show(page());
  const auto [x, y] = cell(0, 2);
  tab_->click(x, y);
  const Json rows = numbers("1");
  ASSERT_EQ(rows.size(), 4u);
  for (size_t row = 0; row < 4; ++row) {
    EXPECT_EQ(rows[row]["rank of " + shown(source_, lens_.targets[2])],
              lens_.target_ranks[lens_.cell(row, 2)]);
    for (size_t w = 0; w < 2; ++w) {
      if (lens_.watch[w] == lens_.targets[2]) continue;
      EXPECT_EQ(rows[row]["rank of " + shown(source_, lens_.watch[w])],
                lens_.watch_ranks[2 * lens_.cell(row, 2) + w]);
    }
  }
}

// The colours themselves: where the rank is 1 the cell has the scale's deepest colour, and another
// scale changes it.
TEST_F(LensPage, CellsHaveTheColourOfTheirRank) {
  Lens lens = lens_;
  lens.target_ranks[lens.cell(3, 0)] = 1;
  lens.target_ranks[lens.cell(2, 0)] = 17;
  Tab& tab = show(lens_page({&lens, 1}, source_));
  const std::string pixel =
      "(row => { const g = document.querySelector('.grid-frame').grid; const at = "
      "g.canvas.getContext('2d').getImageData(g.labelWidth + 4, g.topHeight + row * g.rowHeight + "
      "4, 1, 1).data; "
      "return [...at].slice(0, 3).join(); })";
  tab.click_on("input[value=rank] + label");
  EXPECT_EQ(tab.eval(pixel + "(0)"), "85,42,115");    // 552a73, the scale's full end
  EXPECT_EQ(tab.eval(pixel + "(1)"), "247,246,250");  // f7f6fa, its empty one
  tab.click_on("input[value=entropy] + label");
  EXPECT_EQ(tab.eval(pixel + "(0)"),
            tab.eval("V.color.amount(V.data.results[0].entropy[18] / Math.log(17)).join()"));
}

TEST_F(LensPage, IsSoundWithHostileTokens) {
  show(page());
  expect_sound("lens");
}

TEST_F(LensPage, FiftyThousandCellsAreDrawnAsFarAsTheyAreSeen) {
  const Lens lens = testing::made_up_lens(49, 1024, 5, 0, 17);
  Tab& tab = show(lens_page({&lens, 1}, source_));
  EXPECT_LT(tab.eval("document.querySelector('.grid canvas').width").get<int>(), 1400);
  EXPECT_LT(tab.eval("document.querySelectorAll('*').length").get<int>(), 600);
  tab.eval("document.querySelector('.grid').focus()");
  tab.press("End");
  EXPECT_TRUE(testing::says(spoken(), "blocks.47.hook_resid_post, position 1023"));
  EXPECT_GT(tab.eval("document.querySelector('.grid').scrollLeft").get<int>(), 50000);
  expect_sound("lens-large");
}

TEST_F(LensPage, SeveralTextsAreChosenFromAList) {
  const std::vector<Lens> two = {lens_, testing::made_up_lens(2, 3, 1, 0, 17, 99)};
  Tab& tab = show(lens_page(two, source_));
  EXPECT_EQ(numbers("0").size(), 24u);
  tab.eval(
      "(() => { const s = document.querySelector('select'); s.selectedIndex = 1; "
      "s.dispatchEvent(new Event('change')); })()");
  tab.settle();
  EXPECT_EQ(numbers("0").size(), 6u);
  EXPECT_TRUE(tab.problems().empty());
}

TEST_F(LensPage, TablesAreOpenedAndHoldTheNumbers) {
  Tab& tab = show(page());
  tab.click_on(".tools button");
  EXPECT_EQ(tab.eval("document.querySelectorAll('.card table tbody tr').length"), 24);
  const Json rows = numbers("0");
  EXPECT_EQ(rows[7]["target_rank"], lens_.target_ranks[7]);
  EXPECT_NEAR(rows[7]["entropy (nats)"].get<double>(), lens_.entropies[7], 1e-6);  // float32
  const auto tsv = tab.eval("document.querySelector('.card').numbers.tsv()").get<std::string>();
  EXPECT_EQ(std::count(tsv.begin(), tsv.end(), '\n'), 25);
  EXPECT_EQ(std::count(tsv.begin(), tsv.end(), '\t'), 25 * 16);
}

/// [r, g, b] of the first grid's canvas, x and y in JavaScript with the grid as `g`.
std::string pixel_of(Tab& tab, const std::string& x, const std::string& y) {
  return tab.eval("(g => [...g.canvas.getContext('2d').getImageData(" + x + ", " + y +
                  ", 1, 1).data].slice(0, 3).join())(document.querySelector('.grid-frame').grid)");
}

TEST_F(LensPage, TheSelectedCellIsOutlinedAndInViewOnLoad) {
  const Lens lens = testing::made_up_lens(4, 300, 0, 0, 17);
  Tab& tab = show(lens_page({&lens, 1}, source_));
  const char* x = "g.rectOf(0, 299).left - g.canvas.getBoundingClientRect().left + 20";
  EXPECT_EQ(tab.eval("document.activeElement === document.body"), true);
  EXPECT_TRUE(testing::says(tab.text(".detail"), "position 299"));
  EXPECT_EQ(tab.eval("(g => { const at = g.rectOf(0, 299), box = g.box.getBoundingClientRect(); "
                     "return at.left >= box.left && at.left + at.width <= box.right + 1; "
                     "})(document.querySelector('.grid-frame').grid)"),
            true);
  EXPECT_EQ(pixel_of(tab, x, "g.topHeight - 1"), "210,80,10");  // d2500a, the page's focus
}

TEST_F(LensPage, EdgesFadeWhereTheGridGoesOn) {
  Lens lens = testing::made_up_lens(4, 300, 0, 0, 17);
  std::fill(lens.target_ranks.begin(), lens.target_ranks.end(), 1);
  Tab& tab = show(lens_page({&lens, 1}, source_));
  const char *left = "g.labelWidth + 1", *right = "g.canvas.width - 6", *y = "g.topHeight + 30";
  const auto bright = [&](const char* x) {
    return std::stoi(pixel_of(tab, x, y)) > 200;  // the cell's red is 85, the page's 255
  };
  EXPECT_TRUE(bright(left));  // the last column is shown
  EXPECT_FALSE(bright(right));
  tab.eval("document.querySelector('.grid').scrollLeft = 0");
  tab.settle();
  EXPECT_FALSE(bright(left));
  EXPECT_TRUE(bright("g.canvas.width - 2"));
}

/// Two texts, of the second of which a watched token is what follows.
std::vector<Lens> a_pair() {
  std::vector<Lens> pair = {testing::made_up_lens(4, 6, 3, 2, 17),
                            testing::made_up_lens(4, 5, 3, 2, 17, 99)};
  pair[0].watch = pair[1].watch = {10, 4};
  pair[0].targets.assign(6, 14);
  pair[1].targets.assign(5, 10);
  return pair;
}

TEST_F(LensPage, TextsAreSideBySideInTheSameColours) {
  const std::vector<Lens> pair = a_pair();
  Tab& tab = show(lens_page(pair, source_));
  const auto strokes = [&](const std::string& where) {
    return tab.eval("[...document.querySelectorAll('" + where +
                    " .line path')].slice(0, 2).map(line => line.getAttribute('stroke')).join()");
  };
  const Json colours = tab.eval("[V.color.line(0), V.color.line(1)].join()");
  EXPECT_EQ(strokes(".pair:nth-child(1)"), colours);
  EXPECT_EQ(strokes(".pair:nth-child(2)"), colours);
  EXPECT_EQ(strokes(".rise"), colours);
  // In each row the likelier token is shaded, whichever that is; the last layer is on top.
  const auto shaded = [&](size_t text, size_t row) {
    return tab.eval(
        "[...document.querySelectorAll('.pair:nth-child(" + std::to_string(text + 1) +
        ") tbody tr')[" + std::to_string(row) +
        "].querySelectorAll('td')].map(td => td.style.background !== '' ? 1 : 0).join()");
  };
  const Json rows = numbers("0");
  ASSERT_EQ(rows.size(), 8u);
  for (size_t text = 0; text < 2; ++text) {
    const Lens& lens = pair[text];
    for (size_t row = 0; row < 4; ++row) {
      const size_t cell = 2 * lens.cell(3 - row, lens.positions.size() - 1);
      const bool first = lens.watch_log_probs[cell] > lens.watch_log_probs[cell + 1];
      EXPECT_EQ(shaded(text, row), first ? "1,0" : "0,1") << text << " " << row;
      const Json& numbers = rows[text * 4 + 3 - row];
      EXPECT_EQ(numbers["ahead"], shown(source_, lens.watch[first ? 0 : 1]));
      EXPECT_EQ(numbers["rank of " + shown(source_, 10)], lens.watch_ranks[cell]);
    }
  }
  // Another place from the end, of both.
  tab.eval(
      "(() => { const s = document.querySelector('.together select'); s.selectedIndex = 2; "
      "s.dispatchEvent(new Event('change')); })()");
  tab.settle();
  EXPECT_TRUE(testing::says(tab.text(".pair:nth-child(1)"), "Position 3, after"));
  EXPECT_TRUE(testing::says(tab.text(".pair:nth-child(2)"), "Position 2, after"));
  expect_sound("lens-pair");
}

TEST_F(LensPage, TheHeadingFollowsTheChosenText) {
  const std::vector<Lens> pair = a_pair();
  Tab& tab = show(lens_page(pair, source_));
  const std::string first = tab.text(".subtitle");
  tab.eval(
      "(() => { const s = document.querySelector('main > .select select'); s.selectedIndex = 1; "
      "s.dispatchEvent(new Event('change')); })()");
  tab.settle();
  EXPECT_EQ(tab.text(".subtitle"), tab.eval("V.data.results[1].label"));
  EXPECT_NE(tab.text(".subtitle"), first);
  EXPECT_EQ(tab.eval("document.title"), tab.eval("'Logit lens: ' + V.data.results[1].label"));
  // The colours are those of the first text, although a watched token is what follows here.
  EXPECT_EQ(tab.eval("[...document.querySelectorAll('.rise .line path')].map(line => "
                     "line.getAttribute('stroke')).join()"),
            tab.eval("[V.color.line(0), V.color.line(1)].join()"));
}

TEST_F(LensPage, WatchedRanksAreInGridCardAndTip) {
  Tab& tab = show(page());
  const size_t cell = at(1, 3);
  const auto [x, y] = this->cell(1, 3);
  tab.move(x, y);
  const std::string ranks[] = {"rank " + std::to_string(lens_.watch_ranks[2 * cell]),
                               "rank " + std::to_string(lens_.watch_ranks[2 * cell + 1])};
  for (const char* where : {".detail .watched", ".tip .watched"}) {
    EXPECT_TRUE(testing::says(tab.text(where), ranks[0], ranks[1]));
    const bool first = lens_.watch_log_probs[2 * cell] > lens_.watch_log_probs[2 * cell + 1];
    EXPECT_EQ(tab.eval("[...document.querySelectorAll('" + std::string(where) +
                       " li')].map(li => li.classList.contains('ahead')).indexOf(true)"),
              first ? 0 : 1);
  }
  tab.click(x, y);
  EXPECT_TRUE(testing::says(spoken(), ranks[0], ranks[1]));
  EXPECT_EQ(tab.eval("document.querySelector('.grid-frame').grid.text(1, 3)"),
            std::to_string(lens_.watch_ranks[2 * cell]) + " · " +
                std::to_string(lens_.watch_ranks[2 * cell + 1]));
}

// --- saliency

class SaliencyPage : public PageTest {
 protected:
  static Saliency made_up(bool contrast) {
    Saliency saliency;
    testing::Numbers numbers(3);
    saliency.prompt = 3;
    saliency.ids = {10, 14, 4, 5, 0};
    if (contrast) saliency.contrast = 2;
    for (int step = 0; step < 3; ++step)
      saliency.steps.push_back({.inputs = 3 + step,
                                .target = step < 2 ? saliency.ids[3 + step] : 7,
                                .rank = step + 1,
                                .logit = 2.5,
                                .log_prob = -0.5,
                                .value = 2.5});
    for (int step = 0; step < 3; ++step) {
      for (int i = 0; i < 5; ++i) {
        saliency.shares.push_back(i < 3 + step ? numbers.next() : 0);
        saliency.scores.push_back(i < 3 + step ? numbers.next() - 0.5 : 0);
      }
    }
    return saliency;
  }
  const PageSource source_ = demo_source();
};

TEST_F(SaliencyPage, AnOutputTokenShowsItsOwnInput) {
  const Saliency saliency = made_up(false);
  Tab& tab = show(saliency_page({&saliency, 1}, source_));
  EXPECT_EQ(tab.eval("document.querySelectorAll('button.word').length"), 3);
  const auto label = [&](int position) {
    return tab
        .eval("document.querySelectorAll('.word')[" + std::to_string(position) +
              "].getAttribute('aria-label')")
        .get<std::string>();
  };
  const auto share = [&](size_t step, size_t i) {
    return tab.eval("V.percent(" + std::to_string(saliency.shares[saliency.cell(step, i)]) + ")")
        .get<std::string>();
  };
  EXPECT_TRUE(testing::says(label(2), "share " + share(2, 2)));  // the last step first
  tab.move_to("button.word[data-step='0']");
  EXPECT_TRUE(testing::says(label(2), "share " + share(0, 2)));
  EXPECT_EQ(label(4).find("share"), std::string::npos);  // after the step's input
  tab.move(2, 2);
  EXPECT_TRUE(testing::says(label(2), "share " + share(2, 2)));
  tab.click_on("button.word[data-step='1']");
  tab.move(2, 2);
  EXPECT_TRUE(testing::says(label(2), "share " + share(1, 2)));
  tab.eval("document.querySelector(\"button.word[data-step='0']\").focus()");
  tab.settle();
  EXPECT_TRUE(testing::says(label(2), "share " + share(0, 2)));
  expect_sound("saliency");
}

TEST_F(SaliencyPage, AContrastIsShownBySignsFirst) {
  const Saliency saliency = made_up(true);
  Tab& tab = show(saliency_page({&saliency, 1}, source_));
  EXPECT_EQ(tab.eval("document.querySelector('input[value=score]').checked"), true);
  // The strongest of the last step has the end of the scale on its side.
  const std::string expected = tab.eval(
      "(() => { const r = V.data.results[0], s = [...r.tokens_score].slice(10, 15), most = "
      "Math.max(...s.map(Math.abs)); "
      "return s.map(v => V.color.css(V.color.diverging(v / most)).replaceAll(',', ', "
      "')).join(';'); })()");
  EXPECT_EQ(tab.eval("[...document.querySelectorAll('.word')].slice(0, 5).map(w => "
                     "w.style.background).join(';')"),
            expected);
  EXPECT_TRUE(testing::says(tab.text(".facts"), "rather than"));
  expect_sound("saliency-contrast");
}

TEST_F(SaliencyPage, LinesBreakWhereTheTextBreaksThem) {
  const Saliency saliency = made_up(false);  // the fourth token is a line break
  Tab& tab = show(saliency_page({&saliency, 1}, source_));
  EXPECT_EQ(tab.eval("[...document.querySelector('.text').children].findIndex(e => e.tagName === "
                     "'BR')"),
            4);
  EXPECT_EQ(tab.eval("document.querySelectorAll('.text br').length"), 1);
}

TEST_F(SaliencyPage, EachStepHasTheContrastTextsToken) {
  Saliency saliency = made_up(false);
  saliency.contrasts = {2, 3, 16};
  Tab& tab = show(saliency_page({&saliency, 1}, source_));
  EXPECT_EQ(tab.eval("document.querySelector('input[value=score]').checked"), true);
  for (const int step : {0, 1, 2}) {
    tab.click_on("button.word[data-step='" + std::to_string(step) + "']");
    EXPECT_TRUE(testing::says(
        tab.text(".facts"),
        "rather than " + shown(source_, saliency.contrasts[static_cast<size_t>(step)])));
  }
}

TEST_F(SaliencyPage, ALongTextScrolls) {
  Saliency saliency = made_up(false);
  saliency.ids.assign(1500, 10);
  saliency.steps = {{.inputs = 1500, .target = 7, .rank = 1}};
  saliency.shares.assign(1500, 1.0 / 1500);
  saliency.scores.assign(1500, 0.5);
  Tab& tab = show(saliency_page({&saliency, 1}, source_));
  EXPECT_LT(tab.eval("document.querySelector('.text').clientHeight").get<int>(), 600);
  EXPECT_GT(tab.eval("document.querySelector('.text').scrollHeight").get<int>(), 1200);
}

// --- attribution and patching

/// [name, contribution] in the order of the page's table.
Json parts_of(const LogitAttribution& found) {
  Json parts = Json::array({Json::array({"token embedding", found.embedding}),
                            Json::array({"position embedding", found.position_embedding}),
                            Json::array({"final bias", found.final_bias})});
  for (int layer = 0; layer < found.layers; ++layer) {
    const std::string number = std::to_string(layer);
    for (int head = 0; head < found.heads; ++head)
      parts.push_back(Json::array({"head " + number + "." + std::to_string(head),
                                   found.head[static_cast<size_t>(layer * found.heads + head)]}));
    parts.push_back(Json::array(
        {"attention bias " + number, found.attention_bias[static_cast<size_t>(layer)]}));
    parts.push_back(Json::array({"MLP " + number, found.mlp[static_cast<size_t>(layer)]}));
  }
  return parts;
}

TEST_F(PageTest, AttributionShowsEveryPart) {
  LogitAttribution found;
  testing::Numbers numbers(5);
  found.ids = {0, 10};
  found.position = 1;
  found.target = 4;
  found.against = 5;
  found.layers = 3;
  found.heads = 2;
  found.embedding = 0.5;
  found.position_embedding = -0.25;
  for (int i = 0; i < 6; ++i) found.head.push_back(numbers.next() - 0.5);
  for (int i = 0; i < 3; ++i) {
    found.attention_bias.push_back(numbers.next() - 0.5);
    found.mlp.push_back(numbers.next() - 0.5);
  }
  found.neurons = {{1, 7, 2.0, 0.125}};
  found.logit = found.sum();
  Tab& tab = show(attribution_page({&found, 1}, demo_source()));
  const Json rows = parts_of(found);
  const Json parts = this->numbers("0");
  ASSERT_EQ(parts.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(parts[i]["component"], rows[i][0]);
    EXPECT_NEAR(parts[i]["contribution"].get<double>(), rows[i][1].get<double>(), 1e-7)
        << rows[i];  // float32
  }
  tab.eval("document.querySelector('.grid').focus()");
  tab.press("ArrowRight");
  EXPECT_TRUE(testing::says(spoken(), "head 2.1"));
  // The sum after the last block, with the final bias, is the logit.
  const Json sums = this->numbers("2");
  EXPECT_NEAR(sums[3]["sum so far"].get<double>(), found.logit, 1e-6);
  expect_sound("attribution");
}

TEST_F(PageTest, PatchingShowsEffectsEstimatesAndMetric) {
  Patching found;
  testing::Numbers numbers(5);
  found.clean = 3;
  found.corrupt = -1;
  PatchGrid grid;
  grid.layers = {0, 1, 2};
  grid.columns = {0, 1, 3};
  for (int i = 0; i < 9; ++i) {
    grid.values.push_back(numbers.next() * 4 - 1);
    grid.effects.push_back((grid.values.back() + 1) / 4);
    grid.estimates.push_back(numbers.next());
  }
  PatchGrid after = grid;
  after.site = Site::kResidPost;
  found.grids = {grid, after};
  const PatchSubject subject{
      .clean = {0, 10, 4, 14}, .corrupt = {0, 10, 5, 14}, .metric = {.answer = 4, .wrong = 5}};
  Tab& tab = show(patching_page(found, subject, demo_source()));
  const Json rows = this->numbers("1");
  ASSERT_EQ(rows.size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(rows[i]["site"], site_name(Site::kResidPre, grid.layers[i / 3]));
    EXPECT_EQ(rows[i]["position"], grid.columns[i % 3]);
    EXPECT_NEAR(rows[i]["effect"].get<double>(), grid.effects[i], 1e-6);
    EXPECT_NEAR(rows[i]["estimate"].get<double>(), grid.estimates[i], 1e-6);
  }
  const auto [x, y] = cell(2, 2);  // layer 0, position 3
  tab.move(x, y);
  EXPECT_TRUE(testing::says(tab.text(".detail"), "layer 0, position 3",
                            tab.eval("V.signed(" + std::to_string(grid.effects[2]) + ")")
                                .get<std::string>()
                                .substr(0, 5)));
  EXPECT_TRUE(testing::says(tab.text(".card"), "less that of"));
  expect_sound("patch");
}

TEST_F(PageTest, PatchingOfManyNeurons) {
  Patching found;
  testing::Numbers numbers(5);
  PatchGrid neurons{.site = Site::kMlpPost, .over = PatchOver::kNeurons, .layers = {0, 1, 2}};
  for (int i = 0; i < 3072; ++i) neurons.columns.push_back(i);
  for (int i = 0; i < 3 * 3072; ++i) neurons.estimates.push_back(numbers.next() - 0.5);
  found.grids = {neurons};
  show(patching_page(found,
                     {.clean = {0, 10}, .corrupt = {0, 5}, .metric = {.answer = 4, .wrong = 5}},
                     demo_source()));
  const Json rows = this->numbers("1");
  ASSERT_EQ(rows.size(), 3u * 3072);
  EXPECT_EQ(rows[3072]["site"], "blocks.1.mlp.hook_post");
  EXPECT_NEAR(rows[3072]["estimate"].get<double>(), neurons.estimates[3072], 1e-6);
  expect_sound("patch-neurons");
}

TEST_F(PageTest, PairsShowMeansWithTheirErrors) {
  AttributedPairs found;
  OverPairs<LogitAttribution>& clean = found.clean;
  clean.pairs = 12;
  for (LogitAttribution* of : {&clean.mean, &clean.standard_error, &clean.deviation}) {
    of->against = 5;
    of->layers = 2;
    of->heads = 2;
    of->head = {0.5, -1, 0.25, 2};
    of->attention_bias = of->mlp = {0.125, 0.5};
  }
  clean.mean.logit = clean.mean.sum();
  clean.standard_error.head[3] = 0.375;
  found.difference = clean;
  found.difference->mean.head[3] = -3;
  Tab& tab = show(attributed_pairs_page(found, demo_source()));
  EXPECT_TRUE(testing::says(tab.text(".card"), "mean of 12 pairs"));
  EXPECT_TRUE(testing::says(tab.text(".largest, .bars"), "± 0.375"));
  const Json parts = numbers("0"), differences = numbers("3");
  EXPECT_EQ(parts[8]["component"], "head 1.1");
  EXPECT_EQ(parts[8]["contribution"], 2);
  EXPECT_EQ(parts[8]["standard error"], 0.375);
  EXPECT_EQ(differences[8]["contribution"], -3);
  expect_sound("attribution-pairs");
}

}  // namespace
}  // namespace vitrine
