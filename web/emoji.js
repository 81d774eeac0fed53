/** Emoji shortcodes: `:smile:` and its kind become characters. The table is ours and needs no pictures. */

/** One line per group, `character name,other-name` separated by blanks; groups are the sections of the picker. */
const TABLE = {
  Smileys: `😀 grinning 😃 smiley 😄 smile 😁 grin 😆 laughing,satisfied 😅 sweat_smile 🤣 rofl 😂 joy 🙂 slightly_smiling_face,slight_smile
    🙃 upside_down_face,upside_down 🫠 melting_face 😉 wink 😊 blush 😇 innocent 🥰 smiling_face_with_three_hearts 😍 heart_eyes 🤩 star_struck
    😘 kissing_heart 😗 kissing ☺️ relaxed 😚 kissing_closed_eyes 😙 kissing_smiling_eyes 🥲 smiling_face_with_tear 😋 yum 😛 stuck_out_tongue
    😜 stuck_out_tongue_winking_eye 🤪 zany_face 😝 stuck_out_tongue_closed_eyes 🤑 money_mouth_face 🤗 hugs,hugging 🤭 hand_over_mouth
    🤫 shushing_face 🤔 thinking 🫡 saluting_face,salute 🤐 zipper_mouth_face 🤨 raised_eyebrow 😐 neutral_face 😑 expressionless 😶 no_mouth 😏 smirk
    😒 unamused 🙄 roll_eyes,rolling_eyes 😬 grimacing 🤥 lying_face 😌 relieved 😔 pensive 😪 sleepy 🤤 drooling_face 😴 sleeping 😷 mask
    🤒 face_with_thermometer 🤕 face_with_head_bandage 🤢 nauseated_face 🤮 vomiting_face 🤧 sneezing_face 🥵 hot_face 🥶 cold_face 🥴 woozy_face
    😵 dizzy_face 🤯 exploding_head,mind_blown 🤠 cowboy_hat_face,cowboy 🥳 partying_face,party 😎 sunglasses 🤓 nerd_face,nerd 🧐 monocle_face 😕 confused
    😟 worried 🙁 slightly_frowning_face ☹️ frowning_face 😮 open_mouth 😯 hushed 😲 astonished 😳 flushed 🥺 pleading_face 😦 frowning
    😧 anguished 😨 fearful 😰 cold_sweat 😥 disappointed_relieved 😢 cry 😭 sob 😱 scream 😖 confounded 😣 persevere 😞 disappointed
    😓 sweat 😩 weary 😫 tired_face 🥱 yawning_face 😤 triumph 😡 rage,pout 😠 angry 🤬 cursing_face 😈 smiling_imp 👿 imp 💀 skull
    ☠️ skull_and_crossbones 💩 poop,hankey 🤡 clown_face,clown 👻 ghost 👽 alien 👾 space_invader 🤖 robot 😺 smiley_cat 😸 smile_cat 😹 joy_cat
    😻 heart_eyes_cat 😼 smirk_cat 😽 kissing_cat 🙀 scream_cat 😿 crying_cat_face 😾 pouting_cat 🙈 see_no_evil 🙉 hear_no_evil 🙊 speak_no_evil`,
  People: `👋 wave 🤚 raised_back_of_hand ✋ raised_hand,hand 🖖 vulcan_salute,vulcan 👌 ok_hand 🤌 pinched_fingers 🤏 pinching_hand ✌️ v,victory
    🤞 crossed_fingers,fingers_crossed 🤟 love_you_gesture 🤘 metal 🤙 call_me_hand 👈 point_left 👉 point_right 👆 point_up_2 👇 point_down ☝️ point_up
    👍 +1,thumbsup 👎 -1,thumbsdown ✊ fist 👊 facepunch,punch 🤛 fist_left 🤜 fist_right 👏 clap 🙌 raised_hands 🫶 heart_hands 👐 open_hands
    🤲 palms_up_together 🤝 handshake 🙏 pray,thanks ✍️ writing_hand 💅 nail_care 🤳 selfie 💪 muscle 🦾 mechanical_arm 👂 ear 👃 nose 🧠 brain
    👀 eyes 👁️ eye 👅 tongue 👄 lips 👶 baby 🧒 child 👦 boy 👧 girl 🧑 adult 👨 man 👩 woman 🧓 older_adult 👴 older_man 👵 older_woman
    🙅 no_good 🙆 ok_woman,ok_person 💁 information_desk_person 🙋 raising_hand 🙇 bow 🤦 facepalm,face_palm 🤷 shrug 👮 cop 🕵️ detective
    💂 guard 👷 construction_worker 🤴 prince 👸 princess 🧙 mage,wizard 🧚 fairy 🧛 vampire 🧜 merperson 🧝 elf 🧟 zombie 🦸 superhero 🎅 santa
    👼 angel 💆 massage 💇 haircut 🚶 walking 🏃 runner,running 💃 dancer 🕺 man_dancing 👯 dancers 🧘 lotus_position 🛌 sleeping_bed
    👭 two_women_holding_hands 👫 couple 💏 couplekiss 👪 family 🗣️ speaking_head 👤 bust_in_silhouette 👥 busts_in_silhouette 👣 footprints`,
  Nature: `🐵 monkey_face 🐒 monkey 🦍 gorilla 🐶 dog 🐕 dog2 🐩 poodle 🐺 wolf 🦊 fox_face,fox 🦝 raccoon 🐱 cat 🐈 cat2 🦁 lion 🐯 tiger 🐴 horse
    🦄 unicorn 🦓 zebra 🦌 deer 🐮 cow 🐷 pig 🐗 boar 🐏 ram 🐑 sheep 🐐 goat 🐪 dromedary_camel 🐫 camel 🦙 llama 🦒 giraffe 🐘 elephant
    🦏 rhinoceros 🐭 mouse 🐁 mouse2 🐀 rat 🐹 hamster 🐰 rabbit 🐿️ chipmunk 🦔 hedgehog 🦇 bat 🐻 bear 🐨 koala 🐼 panda_face,panda 🦥 sloth 🦦 otter
    🦨 skunk 🦘 kangaroo 🐾 feet,paw_prints 🦃 turkey 🐔 chicken 🐓 rooster 🐣 hatching_chick 🐤 baby_chick 🐦 bird 🐧 penguin 🕊️ dove 🦅 eagle 🦆 duck
    🦢 swan 🦉 owl 🦩 flamingo 🦚 peacock 🦜 parrot 🐸 frog 🐊 crocodile 🐢 turtle 🦎 lizard 🐍 snake 🐲 dragon_face 🐉 dragon 🦕 sauropod
    🦖 t-rex 🐳 whale 🐬 dolphin 🦭 seal 🐟 fish 🐠 tropical_fish 🐡 blowfish 🦈 shark 🐙 octopus 🐚 shell 🐌 snail 🦋 butterfly 🐛 bug
    🐜 ant 🐝 bee,honeybee 🐞 lady_beetle,beetle 🦗 cricket 🕷️ spider 🕸️ spider_web 🦂 scorpion 🦟 mosquito 🪰 fly 🪱 worm 🦠 microbe 💐 bouquet 🌸 cherry_blossom
    🌹 rose 🥀 wilted_flower 🌺 hibiscus 🌻 sunflower 🌼 blossom 🌷 tulip 🌱 seedling 🌲 evergreen_tree 🌳 deciduous_tree 🌴 palm_tree 🌵 cactus
    🌾 ear_of_rice 🌿 herb ☘️ shamrock 🍀 four_leaf_clover 🍁 maple_leaf 🍂 fallen_leaf 🍃 leaves 🍄 mushroom 🌍 earth_africa 🌎 earth_americas
    🌏 earth_asia 🌙 crescent_moon 🌚 new_moon_with_face 🌝 full_moon_with_face 🌞 sun_with_face ☀️ sunny ⭐ star 🌟 star2 ✨ sparkles ⚡ zap ☄️ comet 💥 boom,collision 🔥 fire
    🌪️ tornado 🌈 rainbow ⛅ partly_sunny ☁️ cloud 🌧️ cloud_with_rain ⛈️ cloud_with_lightning_and_rain ❄️ snowflake ☃️ snowman_with_snow ⛄ snowman 💨 dash
    💧 droplet 💦 sweat_drops ☔ umbrella 🌊 ocean`,
  Food: `🍏 green_apple 🍎 apple 🍐 pear 🍊 tangerine,orange 🍋 lemon 🍌 banana 🍉 watermelon 🍇 grapes 🍓 strawberry 🫐 blueberries 🍈 melon 🍒 cherries
    🍑 peach 🥭 mango 🍍 pineapple 🥥 coconut 🥝 kiwi_fruit 🍅 tomato 🍆 eggplant 🥑 avocado 🥦 broccoli 🥬 leafy_green 🥒 cucumber 🌶️ hot_pepper
    🌽 corn 🥕 carrot 🧄 garlic 🧅 onion 🥔 potato 🍠 sweet_potato 🥐 croissant 🥯 bagel 🍞 bread 🥖 baguette_bread 🥨 pretzel 🧀 cheese 🥚 egg
    🍳 fried_egg,cooking 🧈 butter 🥞 pancakes 🧇 waffle 🥓 bacon 🥩 cut_of_meat 🍗 poultry_leg 🍖 meat_on_bone 🌭 hotdog 🍔 hamburger,burger 🍟 fries
    🍕 pizza 🥪 sandwich 🌮 taco 🌯 burrito 🥗 green_salad,salad 🍝 spaghetti 🍜 ramen 🍲 stew 🍛 curry 🍣 sushi 🍱 bento 🥟 dumpling 🍤 fried_shrimp
    🍙 rice_ball 🍚 rice 🥠 fortune_cookie 🍢 oden 🍡 dango 🍧 shaved_ice 🍨 ice_cream 🍦 icecream 🥧 pie 🧁 cupcake 🍰 cake 🎂 birthday 🍮 custard
    🍭 lollipop 🍬 candy 🍫 chocolate_bar 🍿 popcorn 🍩 doughnut,donut 🍪 cookie 🌰 chestnut 🥜 peanuts 🍯 honey_pot 🥛 milk_glass 🍼 baby_bottle ☕ coffee
    🍵 tea 🧃 juice_box 🥤 cup_with_straw 🍶 sake 🍺 beer 🍻 beers 🥂 clinking_glasses,cheers 🍷 wine_glass 🥃 tumbler_glass,whisky 🍸 cocktail 🍹 tropical_drink
    🍾 champagne 🧊 ice_cube 🥄 spoon 🍴 fork_and_knife 🧂 salt`,
  Activities: `⚽ soccer 🏀 basketball 🏈 football 🎾 tennis 🏐 volleyball 🏓 ping_pong 🏸 badminton 🥊 boxing_glove 🎣 fishing_pole_and_fish ⛳ golf 🎿 ski 🛷 sled
    🏆 trophy 🥇 1st_place_medal 🥈 2nd_place_medal 🥉 3rd_place_medal 🏅 medal_sports,medal 🎫 ticket 🎪 circus_tent 🎭 performing_arts 🎨 art 🎬 clapper
    🎤 microphone 🎧 headphones 🎼 musical_score 🎹 musical_keyboard 🥁 drum 🎷 saxophone 🎺 trumpet 🎸 guitar 🎻 violin 🎲 game_die ♟️ chess_pawn 🎯 dart
    🎳 bowling 🎮 video_game 🎰 slot_machine 🧩 jigsaw,puzzle 🚗 car,red_car 🚕 taxi 🚌 bus 🏎️ racing_car 🚓 police_car 🚑 ambulance 🚒 fire_engine 🚚 truck
    🚜 tractor 🚲 bike 🛴 kick_scooter 🏍️ motorcycle 🚨 rotating_light 🚆 train2 🚂 steam_locomotive 🚇 metro ✈️ airplane 🛫 flight_departure 🛬 flight_arrival
    🚀 rocket 🛸 flying_saucer,ufo 🚁 helicopter ⛵ boat,sailboat 🚤 speedboat 🚢 ship ⚓ anchor 🚧 construction 🚦 vertical_traffic_light 🗺️ world_map 🗽 statue_of_liberty
    🏰 european_castle,castle 🎡 ferris_wheel 🎢 roller_coaster ⛲ fountain 🏖️ beach_umbrella,beach 🏝️ desert_island 🌋 volcano ⛰️ mountain 🏕️ camping ⛺ tent 🏠 house
    🏡 house_with_garden 🏢 office 🏥 hospital 🏦 bank 🏨 hotel 🏫 school 🏭 factory ⛪ church 🌅 sunrise 🌃 night_with_stars 🌉 bridge_at_night`,
  Objects: `⌚ watch 📱 iphone,phone_mobile 💻 computer,laptop ⌨️ keyboard 🖥️ desktop_computer 🖨️ printer 🖱️ computer_mouse 💾 floppy_disk 💿 cd 📷 camera 🎥 movie_camera
    ☎️ phone,telephone 📺 tv 📻 radio ⏰ alarm_clock ⏱️ stopwatch ⌛ hourglass ⏳ hourglass_flowing_sand 📡 satellite 🔋 battery 🔌 electric_plug 💡 bulb 🔦 flashlight
    🕯️ candle 🧯 fire_extinguisher 💸 money_with_wings 💵 dollar 💶 euro 💰 moneybag 💳 credit_card 💎 gem ⚖️ balance_scale 🧰 toolbox 🔧 wrench 🔨 hammer
    🛠️ hammer_and_wrench ⛏️ pick 🔩 nut_and_bolt ⚙️ gear 🧱 brick,bricks ⛓️ chains 🧲 magnet 💣 bomb 🔪 hocho,knife 🛡️ shield 🔮 crystal_ball 🧿 nazar_amulet
    🔭 telescope 🔬 microscope 💊 pill 💉 syringe 🩹 adhesive_bandage 🧬 dna 🧪 test_tube 🌡️ thermometer 🧹 broom 🧻 roll_of_paper 🚽 toilet 🚿 shower 🛁 bathtub
    🧼 soap 🔑 key 🚪 door 🪑 chair 🛋️ couch_and_lamp 🛏️ bed 🧸 teddy_bear 🛒 shopping_cart 🎁 gift 🎈 balloon 🎀 ribbon 🎊 confetti_ball 🎉 tada 🏮 izakaya_lantern
    ✉️ envelope 📧 email,e-mail 📨 incoming_envelope 📦 package 📫 mailbox 📝 memo,pencil 📁 file_folder 📂 open_file_folder 📅 date,calendar 📈 chart_with_upwards_trend,chart
    📉 chart_with_downwards_trend 📊 bar_chart 📋 clipboard 📌 pushpin 📍 round_pushpin 📎 paperclip 📏 straight_ruler ✂️ scissors 🗑️ wastebasket 🔒 lock 🔓 unlock
    📖 book,open_book 📚 books 📰 newspaper 🔖 bookmark 🔗 link ✏️ pencil2 🖊️ pen 🖌️ paintbrush 🔍 mag 🔎 mag_right 📣 mega 📢 loudspeaker 🔔 bell 🔕 no_bell
    👑 crown 🎩 tophat 🎓 mortar_board 👓 eyeglasses 🕶️ dark_sunglasses 👕 shirt 👖 jeans 👗 dress 👟 athletic_shoe 👠 high_heel 🎒 school_satchel 💼 briefcase ☂️ open_umbrella`,
  Symbols: `❤️ heart 🧡 orange_heart 💛 yellow_heart 💚 green_heart 💙 blue_heart 💜 purple_heart 🖤 black_heart 🤍 white_heart 🤎 brown_heart 💔 broken_heart
    ❣️ heavy_heart_exclamation 💕 two_hearts 💞 revolving_hearts 💓 heartbeat 💗 heartpulse 💖 sparkling_heart 💘 cupid 💝 gift_heart 💯 100 💢 anger 💫 dizzy
    💬 speech_balloon 💭 thought_balloon 💤 zzz ☮️ peace_symbol,peace ☯️ yin_yang ♻️ recycle ✅ white_check_mark,check ☑️ ballot_box_with_check ✔️ heavy_check_mark
    ❌ x,cross ❎ negative_squared_cross_mark ➕ heavy_plus_sign ➖ heavy_minus_sign ➗ heavy_division_sign ✖️ heavy_multiplication_x ❓ question ❔ grey_question
    ❗ exclamation ❕ grey_exclamation ‼️ bangbang ⁉️ interrobang ⚠️ warning 🚫 no_entry_sign ⛔ no_entry 📵 no_mobile_phones 🔞 underage ☢️ radioactive ☣️ biohazard
    ⬆️ arrow_up ⬇️ arrow_down ⬅️ arrow_left ➡️ arrow_right ↩️ leftwards_arrow_with_hook 🔄 arrows_counterclockwise,refresh 🔙 back 🔚 end 🔛 on 🔜 soon 🔝 top
    ▶️ arrow_forward ⏸️ pause_button ⏹️ stop_button ⏩ fast_forward ⏪ rewind 🔀 twisted_rightwards_arrows 🔁 repeat 🔇 mute 🔉 sound 🔊 loud_sound 🎵 musical_note
    🎶 notes 🆕 new 🆓 free 🆒 cool 🆗 ok 🆘 sos 🆙 up 🅰️ a 🅱️ b 🅾️ o2 ℹ️ information_source,info #️⃣ hash *️⃣ asterisk 0️⃣ zero 1️⃣ one 2️⃣ two 3️⃣ three 4️⃣ four
    5️⃣ five 6️⃣ six 7️⃣ seven 8️⃣ eight 9️⃣ nine 🔟 keycap_ten 🔴 red_circle 🟠 orange_circle 🟡 yellow_circle 🟢 green_circle 🔵 large_blue_circle,blue_circle 🟣 purple_circle
    ⚫ black_circle ⚪ white_circle 🟥 red_square 🟩 green_square 🟦 blue_square ⬛ black_large_square ⬜ white_large_square 🏁 checkered_flag 🚩 triangular_flag_on_post,flag
    🏳️ white_flag 🏴 black_flag 🏴‍☠️ pirate_flag 🏳️‍🌈 rainbow_flag 🇦🇷 argentina 🇦🇹 austria 🇦🇺 australia 🇧🇪 belgium 🇧🇷 brazil 🇨🇦 canada 🇨🇭 switzerland 🇨🇳 cn,china 🇨🇿 czech_republic
    🇩🇪 de,germany 🇩🇰 denmark 🇪🇸 es,spain 🇪🇺 eu 🇫🇮 finland 🇫🇷 fr,france 🇬🇧 gb,uk 🇬🇷 greece 🇮🇳 india 🇮🇪 ireland 🇮🇱 israel 🇮🇹 it,italy 🇯🇵 jp,japan 🇰🇷 kr,korea 🇲🇽 mexico
    🇳🇱 netherlands 🇳🇴 norway 🇵🇱 poland 🇵🇹 portugal 🇸🇪 sweden 🇹🇷 tr,turkey_flag 🇺🇦 ukraine 🇺🇸 us 🇿🇦 south_africa`,
};

/**
 * @typedef {{char: string, names: string[]}} Emoji
 * @type {Map<string, Emoji[]>}
 */
export const groups = new Map(
  Object.entries(TABLE).map(([group, table]) => {
    const words = table.split(/\s+/);
    return [group, words.flatMap((char, at) => (at % 2 === 0 ? [{ char, names: words[at + 1].split(',') }] : []))];
  }),
);

/** @type {Map<string, string>} */
const byName = new Map([...groups.values()].flat().flatMap(({ char, names }) => names.map((name) => [name, char])));

/** How many shortcodes there are. */
export const count = byName.size;

const SHORTCODE = /:([a-z0-9_+-]{1,40}):/g;
const WORD = /[\p{L}\p{N}:]/u;

/**
 * Replaces the known shortcodes. One that touches a word or number before it (`10:100:30`, `std::on::`) is left alone.
 * @param {string} text
 * @returns {string}
 */
export function withEmoji(text) {
  let out = '';
  let from = 0;
  SHORTCODE.lastIndex = 0;
  for (let match = SHORTCODE.exec(text); match !== null; match = SHORTCODE.exec(text)) {
    const char = byName.get(match[1]);
    const stuck = match.index > from && WORD.test(text[match.index - 1]);
    if (char === undefined || stuck) {
      // Its closing colon may open the next one.
      SHORTCODE.lastIndex = match.index + match[0].length - 1;
      continue;
    }
    out += text.slice(from, match.index) + char;
    from = SHORTCODE.lastIndex;
  }
  return out + text.slice(from);
}

/**
 * The shortcode that is being typed just before the cursor.
 * @param {string} before the text up to the cursor
 * @returns {{from: number, typed: string} | null} where its colon is, and what follows it
 */
export function shortcodeBefore(before) {
  const match = /(?:^|[^\p{L}\p{N}:]):([a-z0-9_+-]{2,40})$/u.exec(before.slice(-48).toLowerCase());
  return match === null ? null : { from: before.length - match[1].length - 1, typed: match[1] };
}

/**
 * Emoji whose names begin with (first) or contain (after those) what was typed.
 * @param {string} typed
 * @param {number} limit
 * @returns {{char: string, name: string}[]}
 */
export function suggest(typed, limit) {
  const starting = [];
  const containing = [];
  for (const { char, names } of [...groups.values()].flat()) {
    const start = names.find((name) => name.startsWith(typed));
    const inside = start ?? names.find((name) => name.includes(typed));
    if (start !== undefined) starting.push({ char, name: start });
    else if (inside !== undefined) containing.push({ char, name: inside });
  }
  starting.sort((one, other) => one.name.length - other.name.length);
  return [...starting, ...containing].slice(0, limit);
}
